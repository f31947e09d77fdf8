"""One partition per training request, and one per registered version that was made again."""

import dagster as dg

training_requests = dg.DynamicPartitionsDefinition(name="training_request")

registered_versions = dg.DynamicPartitionsDefinition(name="registered_version")
