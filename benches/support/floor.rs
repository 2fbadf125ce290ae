//! What a bench measures a live gateway against: this program again, as a bare client of the library. And how the times of
//! both are summed up.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};

/// This program under other arguments; killed when dropped.
pub(crate) struct Floor(Child);

impl Floor {
    /// Starts it; returns once it has its subscription ([`Ear::hear`] says so).
    pub(crate) fn start(arguments: &[&str]) -> anyhow::Result<Floor> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("its output")?;
        let floor = Floor(child);
        BufReader::new(output)
            .lines()
            .next()
            .context("it ended early")??;
        Ok(floor)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The library's client on one topic, without a Nagle delay.
pub(crate) struct Ear {
    pub(crate) client: AsyncClient,
    events: EventLoop,
}

impl Ear {
    pub(crate) async fn open(port: u16, topic: &str) -> anyhow::Result<Ear> {
        let options = MqttOptions::new("floor", "127.0.0.1", port);
        let (client, mut events) = AsyncClient::new(options, 64);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client.subscribe(topic, QoS::AtLeastOnce).await?;
        Ok(Ear { client, events })
    }

    /// The next message.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<Bytes> {
        loop {
            match self.events.poll().await? {
                Event::Incoming(Packet::SubAck(_)) => println!("subscribed"),
                Event::Incoming(Packet::Publish(publish)) => return Ok(publish.payload),
                Event::Incoming(_) | Event::Outgoing(_) => {}
            }
        }
    }
}

/// Their median and their 99th of a hundred, in this unit. Sorts them.
pub(crate) fn summed_up(times: &mut [Duration], unit: Duration) -> anyhow::Result<[f64; 2]> {
    times.sort_unstable();
    let of_hundred = |part: usize| {
        let place = (times.len() * part).div_ceil(100).saturating_sub(1);
        let time = times.get(place).context("nothing was measured")?;
        anyhow::Ok(time.div_duration_f64(unit))
    };
    Ok([of_hundred(50)?, of_hundred(99)?])
}
