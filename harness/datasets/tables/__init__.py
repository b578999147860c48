"""Tables as data: CSV, TSV, Parquet and NumPy files, whose columns become features and labels by a schema."""
