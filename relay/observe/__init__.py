"""What Relay tells its operator: log lines and metrics."""
