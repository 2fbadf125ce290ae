//! The process's own metrics: every handle is resolved once, here, so that no loop looks one up.

mod buckets;
mod deliveries;
mod outbox;
mod past_outbox;

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Registry, TextEncoder,
};

use self::buckets::{NOTICE_BUCKETS, STAGE_BUCKETS, VERIFY_BUCKETS};
use self::deliveries::Deliveries;
use self::outbox::Outbox;
use self::past_outbox::PastOutbox;
use crate::domain::profile::Reject;
use crate::domain::rule::{Class, Priority};
use crate::meters::{counter, counters, gauge, gauges, registered};
use crate::series::Surveys;

/// Every metric of the process. Cloning shares the counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    /// 1 while the MQTT session is up.
    pub mqtt_connected: IntGauge,
    /// 1 while the connection for commands is up.
    pub command_link_connected: IntGauge,
    /// Messages received over MQTT at QoS 1; each is acknowledged after its commit.
    pub messages_received: IntCounter,
    /// Messages received over MQTT at QoS 0: nobody waits for their acknowledgement.
    pub messages_received_qos0: IntCounter,
    /// Messages acknowledged to the broker, after their commit.
    pub messages_acknowledged: IntCounter,
    /// Dead letters, in the order of [`Reject::REASONS`].
    dead_letters: Vec<(&'static str, IntCounter)>,
    readings: IntCounterVec,
    profile_messages: IntCounterVec,
    /// Readings that had been taken before.
    pub readings_repeated: IntCounter,
    /// Where surveys of the devices are asked for: their series are no metrics of the crate's, which would take too long.
    pub surveys: Surveys,
    /// Series of devices that a scrape had no room for.
    pub series_dropped: IntCounter,
    /// Devices taken in that nobody registered.
    pub unregistered: IntGauge,
    /// Rule conditions evaluated.
    pub rule_evaluations: IntCounter,
    /// Time to decode a message, of one message a run.
    pub decode_seconds: Histogram,
    /// Time to step the engine through a message, of one message a run.
    pub evaluate_seconds: Histogram,
    /// Time to commit a transaction.
    pub commit_seconds: Histogram,
    /// Envelopes waiting for the engine.
    pub queue_ingest: IntGauge,
    /// Batches waiting for the writer.
    pub queue_store: IntGauge,
    /// Commands that the broker has not taken yet.
    pub queue_commands: IntGauge,
    /// Commands that the broker has acknowledged.
    pub commands_published: IntCounter,
    /// Commands sent again because the connection ended before their acknowledgement.
    pub commands_repeated: IntCounter,
    /// Commands that a later one for the same device took the place of.
    pub commands_replaced: IntCounter,
    /// Commands that expired before the broker had them.
    pub commands_expired: IntCounter,
    /// Commands that cannot be put on the wire: no profile has a form for them, or their topic is none.
    pub commands_unwritable: IntCounter,
    /// Commands that found their queue full.
    pub commands_overflowed: IntCounter,
    commands: IntCounterVec,
    /// From a command's request to the device's own proof that it has obeyed, in gateway time.
    pub command_verify: Histogram,
    alarms_active: IntGaugeVec,
    alarm_events: IntCounterVec,
    outbox: Outbox,
    deliveries: Deliveries,
    replies: IntCounterVec,
    /// From an alarm event's commit to its delivery.
    pub notice_latency: Histogram,
    /// What is sent past the outbox.
    pub past_outbox: PastOutbox,
    devices: IntGaugeVec,
    /// Bytes of the store's files.
    pub store_bytes: IntGauge,
    /// Commits that failed.
    pub store_errors: IntCounter,
    /// What was not kept because the disk was running full: samples of the history.
    pub shed_samples: IntCounter,
    /// Likewise: payloads of dead letters.
    pub shed_payloads: IntCounter,
    /// 1 while less of the disk is free than the reserve.
    pub store_shedding: IntGauge,
    /// Bytes that are free on the disk of the data folder.
    pub disk_free_bytes: IntGauge,
    /// Checkpoints made beside the gateway.
    pub checkpoints_made: IntCounter,
    /// Checkpoints that could not be made.
    pub checkpoints_failed: IntCounter,
    /// How long the last one took.
    pub checkpoint_seconds: Gauge,
    /// Undelivered notices deleted because no target took them for as long as events are kept.
    pub notices_expired: IntCounter,
    /// Rows of journal and history deleted before their time, to keep the database within its size.
    pub rows_given_up: IntCounter,
    /// 1 while the follower has its PostgreSQL.
    pub replication_connected: IntGauge,
    /// Seconds since the oldest row that is not in PostgreSQL yet; 0 when all are.
    pub replication_lag: Gauge,
    replication_rows: IntCounterVec,
    replication_refused: IntCounterVec,
    replication_errors: IntCounterVec,
    /// 1 when the configuration in force is the one last asked for.
    pub config_last_reload_successful: IntGauge,
}

impl Metrics {
    /// All metrics at zero, registered under their names.
    ///
    /// # Panics
    /// Never: the names are constants and each is registered once.
    #[expect(clippy::too_many_lines, reason = "one entry a metric: a list, not logic")]
    pub fn new() -> Metrics {
        let registry = Registry::new();
        let r = &registry;
        let received = counters(
            r,
            "ninewatch_messages_received_total",
            "Messages received.",
            &["source"],
        );
        let acknowledged = counters(
            r,
            "ninewatch_messages_acknowledged_total",
            "Messages acknowledged to their source, after the commit of all they caused.",
            &["source"],
        );
        let dead = counters(
            r,
            "ninewatch_dead_letters_total",
            "Messages that could not be used, or not wholly, by reason.",
            &["reason"],
        );
        let stages = registered(
            r,
            HistogramVec::new(
                HistogramOpts::new(
                    "ninewatch_stage_duration_seconds",
                    "Time in a stage of the pipeline: decode and evaluate for one message of each run, commit for a transaction.",
                )
                .buckets(STAGE_BUCKETS.to_vec()),
                &["stage"],
            ),
        );
        let queues = gauges(
            r,
            "ninewatch_queue_depth",
            "Items waiting in a bounded queue.",
            &["queue"],
        );
        let checkpoints = counters(
            r,
            "ninewatch_checkpoints_total",
            "Checkpoints of the engine made beside the gateway, and failed ones.",
            &["result"],
        );
        let commands = counters(
            r,
            "ninewatch_command_messages_total",
            "Attempts of commands on their way to the broker: published (acknowledged by it), repeated after an outage, replaced by a later one, expired, unwritable, overflowed.",
            &["result"],
        );
        let build = gauges(
            r,
            "ninewatch_build_info",
            "Always 1; the labels name the version and the commit.",
            &["version", "commit"],
        );
        build
            .with_label_values(&[env!("CARGO_PKG_VERSION"), crate::COMMIT])
            .set(1);
        let shed = counters(
            r,
            "ninewatch_store_shed_total",
            "What was not kept because the disk was running full.",
            &["what"],
        );
        let metrics = Metrics {
            mqtt_connected: gauge(r, "ninewatch_mqtt_connected", "1 while the MQTT session is up."),
            command_link_connected: gauge(
                r,
                "ninewatch_command_link_connected",
                "1 while the MQTT connection for commands is up.",
            ),
            messages_received: received.with_label_values(&["mqtt"]),
            messages_received_qos0: received.with_label_values(&["mqtt_qos0"]),
            messages_acknowledged: acknowledged.with_label_values(&["mqtt"]),
            dead_letters: Reject::REASONS
                .iter()
                .map(|reason| (*reason, dead.with_label_values(&[reason])))
                .collect(),
            profile_messages: counters(
                r,
                "ninewatch_profile_messages_total",
                "Messages by the profile that has their topic: matched, unmatched (nothing in them is mapped), failed.",
                &["profile", "result"],
            ),
            readings: counters(
                r,
                "ninewatch_readings_total",
                "Readings decoded, by device kind.",
                &["kind"],
            ),
            surveys: Surveys::default(),
            series_dropped: counter(
                r,
                "ninewatch_series_dropped_total",
                "Series of devices that a scrape left out because http.max_series was reached.",
            ),
            unregistered: gauge(
                r,
                "ninewatch_unregistered_devices",
                "Devices taken in that nobody registered; 0 where nobody registers devices.",
            ),
            readings_repeated: counter(
                r,
                "ninewatch_readings_repeated_total",
                "Readings that had been taken before: redelivered, or from a device whose clock stands still.",
            ),
            rule_evaluations: counter(
                r,
                "ninewatch_rule_evaluations_total",
                "Rule conditions evaluated.",
            ),
            decode_seconds: stages.with_label_values(&["decode"]),
            evaluate_seconds: stages.with_label_values(&["evaluate"]),
            commit_seconds: stages.with_label_values(&["commit"]),
            queue_ingest: queues.with_label_values(&["ingest"]),
            queue_store: queues.with_label_values(&["store"]),
            queue_commands: queues.with_label_values(&["commands"]),
            commands_published: commands.with_label_values(&["published"]),
            commands_repeated: commands.with_label_values(&["repeated"]),
            commands_replaced: commands.with_label_values(&["replaced"]),
            commands_expired: commands.with_label_values(&["expired"]),
            commands_unwritable: commands.with_label_values(&["unwritable"]),
            commands_overflowed: commands.with_label_values(&["overflowed"]),
            commands: counters(
                r,
                "ninewatch_commands_total",
                "Commands that are over, by command and result (verified, failed, superseded).",
                &["command", "result"],
            ),
            command_verify: registered(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "ninewatch_command_verify_seconds",
                        "From a command's request to the device's own proof that it has obeyed.",
                    )
                    .buckets(VERIFY_BUCKETS.to_vec()),
                ),
            ),
            alarms_active: gauges(
                r,
                "ninewatch_alarms_active",
                "Alarms whose life has not ended, by class and priority.",
                &["class", "priority"],
            ),
            alarm_events: counters(
                r,
                "ninewatch_alarm_events_total",
                "Steps in alarms' lives, by step and class.",
                &["event", "class"],
            ),
            outbox: Outbox::new(r),
            replies: counters(
                r,
                "ninewatch_reply_acknowledgements_total",
                "Acknowledgements in the answers of targets: acknowledged, refused by the gateway, malformed.",
                &["target", "result"],
            ),
            deliveries: Deliveries::new(r),
            notice_latency: registered(
                r,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "ninewatch_notice_latency_seconds",
                        "From the commit of an event to its delivery, in whole milliseconds.",
                    )
                    .buckets(NOTICE_BUCKETS.to_vec()),
                ),
            ),
            past_outbox: PastOutbox::new(r),
            devices: gauges(
                r,
                "ninewatch_devices",
                "Devices known, by kind and presence (online, offline, unknown).",
                &["kind", "presence"],
            ),
            store_bytes: gauge(r, "ninewatch_store_bytes", "Bytes of the embedded store's files."),
            store_errors: counter(r, "ninewatch_store_errors_total", "Commits that failed."),
            shed_samples: shed.with_label_values(&["samples"]),
            shed_payloads: shed.with_label_values(&["dead_letter_payloads"]),
            store_shedding: gauge(
                r,
                "ninewatch_store_shedding",
                "1 while less of the disk is free than the reserve, so that telemetry is not kept.",
            ),
            disk_free_bytes: gauge(
                r,
                "ninewatch_disk_free_bytes",
                "Bytes that are free on the disk of the data folder.",
            ),
            checkpoints_made: checkpoints.with_label_values(&["made"]),
            checkpoints_failed: checkpoints.with_label_values(&["failed"]),
            checkpoint_seconds: registered(
                r,
                Gauge::new(
                    "ninewatch_checkpoint_duration_seconds",
                    "How long the last checkpoint took to make, beside the gateway.",
                ),
            ),
            notices_expired: counter(
                r,
                "ninewatch_notices_expired_total",
                "Undelivered notices deleted because no target took them for as long as events are kept.",
            ),
            rows_given_up: counter(
                r,
                "ninewatch_store_rows_given_up_total",
                "Rows of journal and history deleted before their time, to keep the database within its size.",
            ),
            replication_connected: gauge(
                r,
                "ninewatch_replication_connected",
                "1 while the follower is connected to PostgreSQL.",
            ),
            replication_lag: registered(
                r,
                Gauge::new(
                    "ninewatch_replication_lag_seconds",
                    "Age of the oldest row that PostgreSQL has not got yet; 0 when it has all.",
                ),
            ),
            replication_rows: counters(
                r,
                "ninewatch_replication_rows_total",
                "Rows that PostgreSQL has taken, by table.",
                &["table"],
            ),
            replication_refused: counters(
                r,
                "ninewatch_replication_refused_total",
                "Rows that PostgreSQL refused for what is in them, by table; the table replica_refused says why.",
                &["table"],
            ),
            replication_errors: counters(
                r,
                "ninewatch_replication_errors_total",
                "Failures of the follower, by reason; what failed is tried again.",
                &["reason"],
            ),
            config_last_reload_successful: gauge(
                r,
                "ninewatch_config_last_reload_successful",
                "1 when the configuration in force is the one last asked for.",
            ),
            registry,
        };
        for class in Class::ALL {
            for priority in Priority::ALL {
                metrics.alarms_active(class, priority).set(0);
            }
            for step in ["raised", "acknowledged", "recovered", "cleared"] {
                metrics.alarm_events(step, class);
            }
        }
        // There from the first: an alert must see them go up.
        for table in ["device", "point", "event", "alarm", "reading"] {
            metrics.replication_refused(table);
        }
        metrics
    }

    /// Counts a dead letter under its reason.
    pub fn dead_letter(&self, reject: &Reject) {
        if let Some((_, counter)) = self
            .dead_letters
            .iter()
            .find(|(reason, _)| *reason == reject.reason())
        {
            counter.inc();
        }
    }

    /// Dead letters of one of [`Reject::REASONS`].
    pub fn dead_letters_of(&self, reason: &str) -> u64 {
        let of_reason = self.dead_letters.iter().filter(|(name, _)| *name == reason);
        of_reason.map(|(_, counter)| counter.get()).sum()
    }

    /// Dead letters of every reason together.
    pub fn dead_letters_total(&self) -> u64 {
        self.dead_letters.iter().map(|(_, counter)| counter.get()).sum()
    }

    /// The counters of a profile's messages, matched, unmatched and failed; resolve once, keep.
    pub fn profile_messages(&self, profile: &str) -> [IntCounter; 3] {
        ["matched", "unmatched", "failed"]
            .map(|result| self.profile_messages.with_label_values(&[profile, result]))
    }

    /// The counter of readings of `kind`; resolve once, keep.
    pub fn readings(&self, kind: &str) -> IntCounter {
        self.readings.with_label_values(&[kind])
    }

    /// The counter of commands of this name, which the configuration gives, that ended with `result`.
    pub fn commands(&self, command: &str, result: &str) -> IntCounter {
        self.commands.with_label_values(&[command, result])
    }

    /// The gauge of alarms of this class and priority.
    pub fn alarms_active(&self, class: Class, priority: Priority) -> IntGauge {
        self.alarms_active
            .with_label_values(&[class.as_str(), priority.as_str()])
    }

    /// The counter of alarm events of this step and class.
    pub fn alarm_events(&self, step: &str, class: Class) -> IntCounter {
        self.alarm_events.with_label_values(&[step, class.as_str()])
    }

    /// The gauge of notices that wait for `target`; resolve once, keep.
    pub fn notices_pending(&self, target: &str) -> IntGauge {
        self.outbox.pending(target)
    }

    /// The gauge of notices that `target` has refused and not got; resolve once, keep.
    pub fn notices_refused(&self, target: &str) -> IntGauge {
        self.outbox.refused(target)
    }

    /// The counter of acknowledgements in the answers of `target` with `result`; resolve once, keep.
    pub fn replies(&self, target: &str, result: &str) -> IntCounter {
        self.replies.with_label_values(&[target, result])
    }

    /// The counter of deliveries to `target` with `result`; resolve once, keep.
    pub fn deliveries(&self, target: &str, result: &str) -> IntCounter {
        self.deliveries.result(target, result)
    }

    /// The counter of failed attempts to deliver to `target`, for `reason`; resolve once, keep.
    pub fn delivery_failures(&self, target: &str, reason: &str) -> IntCounter {
        self.deliveries.failure(target, reason)
    }

    /// The gauge of devices of `kind` with `presence`; resolve once, keep.
    pub fn devices(&self, kind: &str, presence: &str) -> IntGauge {
        self.devices.with_label_values(&[kind, presence])
    }

    /// The counter of rows that PostgreSQL has taken into `table`.
    pub fn replication_rows(&self, table: &str) -> IntCounter {
        self.replication_rows.with_label_values(&[table])
    }

    /// The counter of rows of `table` that PostgreSQL refused.
    pub fn replication_refused(&self, table: &str) -> IntCounter {
        self.replication_refused.with_label_values(&[table])
    }

    /// The counter of failures of the follower for `reason`.
    pub fn replication_errors(&self, reason: &str) -> IntCounter {
        self.replication_errors.with_label_values(&[reason])
    }

    /// All metrics in the Prometheus text format.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = String::with_capacity(16 * 1024);
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        Ok(text)
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}
