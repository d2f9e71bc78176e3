"""What components say of documents: topics, as a value, a table and a page."""
