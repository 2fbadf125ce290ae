-- A database of the embedded kind (SQLite) that is copied here. A gateway that had to start a fresh one has two.
CREATE TABLE store (
    number    integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway   text        NOT NULL,
    epoch     bigint      NOT NULL,
    version   text        NOT NULL,
    event     bigint      NOT NULL,
    history   bigint      NOT NULL,
    device    bigint      NOT NULL,
    point     bigint      NOT NULL,
    copied_at timestamptz NOT NULL,
    UNIQUE (gateway, epoch)
);

CREATE VIEW gateway AS
SELECT DISTINCT ON (gateway) gateway AS id, version, number AS store, epoch, copied_at
FROM store
ORDER BY gateway, epoch DESC;

CREATE TABLE venue (
    gateway text NOT NULL,
    id      text NOT NULL,
    name    text NOT NULL,
    kind    text NOT NULL,
    address text NOT NULL,
    PRIMARY KEY (gateway, id)
);

CREATE TABLE registered_device (
    gateway text NOT NULL,
    venue   text NOT NULL,
    kind    text NOT NULL,
    device  text NOT NULL,
    name    text NOT NULL,
    PRIMARY KEY (gateway, venue, kind, device)
);

CREATE TABLE device (
    store      integer     NOT NULL REFERENCES store,
    number     bigint      NOT NULL,
    venue      text        NOT NULL,
    kind       text        NOT NULL,
    device     text        NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (store, number)
);

CREATE TABLE point (
    store  integer NOT NULL REFERENCES store,
    number integer NOT NULL,
    kind   text    NOT NULL,
    point  text    NOT NULL,
    value  json    NOT NULL,
    PRIMARY KEY (store, number)
);

CREATE TABLE alarm (
    store     integer     NOT NULL REFERENCES store,
    id        text        NOT NULL,
    standing  boolean     NOT NULL,
    state     text        NOT NULL,
    class     text        NOT NULL,
    priority  text        NOT NULL,
    rule      text        NOT NULL,
    venue     text        NOT NULL,
    kind      text        NOT NULL,
    device    text        NOT NULL,
    raised_at timestamptz NOT NULL,
    body      json        NOT NULL,
    PRIMARY KEY (store, id)
);
CREATE INDEX alarm_raised_at ON alarm (raised_at);
CREATE INDEX alarm_standing ON alarm (store, id) WHERE standing;

-- `json`, not `jsonb`: the hash is over the very text.
CREATE TABLE event (
    store integer     NOT NULL REFERENCES store,
    seq   bigint      NOT NULL,
    id    text        NOT NULL,
    at    timestamptz NOT NULL,
    type  text        NOT NULL,
    alarm text,
    body  json        NOT NULL,
    hash  bytea       NOT NULL,
    PRIMARY KEY (store, seq)
);
CREATE INDEX event_at ON event USING brin (at);

-- The last sample of each device, and the last that says whether it is there: `device_presence` scans no readings.
CREATE TABLE device_state (
    store     integer     NOT NULL REFERENCES store,
    device    bigint      NOT NULL,
    last_seen timestamptz NOT NULL,
    online    boolean,
    online_at timestamptz,
    PRIMARY KEY (store, device)
);

CREATE TABLE replica_refused (
    number  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    store   integer     NOT NULL REFERENCES store,
    at      timestamptz NOT NULL,
    "table" text        NOT NULL,
    row     text        NOT NULL,
    reason  text        NOT NULL
);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
        CREATE TABLE reading (
            at     timestamptz      NOT NULL,
            value  double precision NOT NULL,
            store  integer          NOT NULL,
            device integer          NOT NULL,
            point  integer          NOT NULL
        );
        PERFORM create_hypertable('reading', 'at', chunk_time_interval => interval '1 month',
                                  create_default_indexes => false);
    ELSE
        CREATE TABLE reading (
            at     timestamptz      NOT NULL,
            value  double precision NOT NULL,
            store  integer          NOT NULL,
            device integer          NOT NULL,
            point  integer          NOT NULL
        ) PARTITION BY RANGE (at);
    END IF;
END
$$;
CREATE INDEX reading_at ON reading USING brin (at);

CREATE VIEW current_alarms AS
SELECT s.gateway, a.id, a.class, a.priority, a.state, a.rule, a.body -> 'title' ->> 'zh' AS title_zh,
       a.body -> 'title' ->> 'en' AS title_en, a.venue, coalesce(v.name, a.venue) AS venue_name, v.address,
       a.kind, a.device, coalesce(r.name, a.device) AS device_name, a.raised_at, a.body
FROM alarm a
JOIN store s ON s.number = a.store
JOIN gateway g ON g.store = a.store
LEFT JOIN venue v ON v.gateway = s.gateway AND v.id = a.venue
LEFT JOIN registered_device r
       ON r.gateway = s.gateway AND r.venue = a.venue AND r.kind = a.kind AND r.device = a.device
WHERE a.standing;

CREATE VIEW alarms_per_day_and_class AS
SELECT s.gateway, date_trunc('day', a.raised_at) AS day, a.class, count(*) AS alarms
FROM alarm a
JOIN store s ON s.number = a.store
GROUP BY s.gateway, day, a.class;

CREATE VIEW device_presence AS
SELECT s.gateway, d.venue, coalesce(v.name, d.venue) AS venue_name, d.kind, d.device,
       coalesce(r.name, d.device) AS device_name, t.online, t.online_at, t.last_seen, d.first_seen
FROM device d
JOIN store s ON s.number = d.store
JOIN gateway g ON g.store = d.store
LEFT JOIN device_state t ON t.store = d.store AND t.device = d.number
LEFT JOIN venue v ON v.gateway = s.gateway AND v.id = d.venue
LEFT JOIN registered_device r
       ON r.gateway = s.gateway AND r.venue = d.venue AND r.kind = d.kind AND r.device = d.device;

CREATE VIEW readings_named AS
SELECT s.gateway, d.venue, d.kind, d.device, p.point, x.at, x.value,
       p.value -> 'Number' ->> 'unit' AS unit,
       CASE WHEN p.value -> 'Enum' IS NOT NULL THEN p.value -> 'Enum' -> 'values' ->> x.value::integer END AS word
FROM reading x
JOIN store s ON s.number = x.store
JOIN device d ON d.store = x.store AND d.number = x.device
JOIN point p ON p.store = x.store AND p.number = x.point;
