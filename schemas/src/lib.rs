//! What can be said: ids, money, positions, commands, events, error codes, Avro schemas.
