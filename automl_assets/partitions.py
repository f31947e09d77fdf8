"""One partition per training request."""

import dagster as dg

training_requests = dg.DynamicPartitionsDefinition(name="training_request")
