-- Commands as they stand after the last event of each. They are in the events whole: a table would say it again.
CREATE INDEX event_command ON event (store, (body -> 'command' ->> 'id'), seq) WHERE type LIKE 'command.%';

CREATE VIEW commands AS
SELECT DISTINCT ON (e.store, e.body -> 'command' ->> 'id')
       s.gateway, e.body -> 'command' ->> 'id' AS id, e.body -> 'command' ->> 'command' AS command,
       e.body -> 'command' ->> 'state' AS state, e.body -> 'command' ->> 'reason' AS reason,
       e.body #>> '{command,venue,id}' AS venue, e.body #>> '{command,venue,name}' AS venue_name,
       e.body #>> '{command,device,kind}' AS kind, e.body #>> '{command,device,id}' AS device,
       e.body #>> '{command,device,name}' AS device_name, e.alarm,
       (e.body -> 'command' ->> 'attempt')::integer AS attempt,
       (e.body -> 'command' ->> 'requested_at')::timestamptz AS requested_at, e.at AS changed_at,
       (e.body -> 'command' ->> 'took_ms')::bigint AS took_ms, e.body
FROM event e
JOIN store s ON s.number = e.store
WHERE e.type LIKE 'command.%'
ORDER BY e.store, e.body -> 'command' ->> 'id', e.seq DESC;
