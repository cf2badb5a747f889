"""The online store: the newest features of each entity, by key, in SQLite, Redis or DynamoDB."""
