"""Everything on one machine: the embedded NATS and Postgres, and what keeps them and the rooms up."""
