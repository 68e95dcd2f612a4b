"""What happened, in PostgreSQL: decisions, intents, orders, fills, outcomes, and who allowed what."""
