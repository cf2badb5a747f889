"""Sources as text: files, folders, S3 prefixes and SQL queries."""
