"""DuckDB with its Delta extension, for the scripts of `python_script`."""

import importlib.resources

import duckdb


def connect():
    """A connection to an empty database in memory, in which `delta_scan('DIRECTORY')` works without the network."""
    connection = duckdb.connect()
    extensions = importlib.resources.files("duckdb_extension_delta") / "extensions"
    extension = extensions / f"v{duckdb.__version__}" / "delta.duckdb_extension"
    connection.load_extension(str(extension))
    return connection
