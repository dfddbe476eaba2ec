"""Traffic of many tenants that knows the alerts which must come of it."""
