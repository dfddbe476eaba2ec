"""Why an audit event became an alert, or did not."""
