//! Config, telemetry, tasks, ordered shutdown, health, problem+json.
