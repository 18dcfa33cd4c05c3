"""What is written of a result: pages, pictures, tables, exports."""
