"""Apache Spark with Delta, for the scripts of `spark_script`."""

import contextlib
import os
import pathlib
import sys

from pyspark.sql import SparkSession


@contextlib.contextmanager
def connect():
    """A session in which SQL reads and changes delta.`DIRECTORY`: in one thread, without the network, and gone at the end
    with its Java process. What it keeps meanwhile is in the directory that the script runs in."""
    here = os.getcwd()
    libraries = pathlib.Path(sys.prefix).parent / "libs"
    settings = {
        "spark.driver.extraClassPath": f"{libraries}/*",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": here,
        "spark.sql.warehouse.dir": f"{here}/warehouse",
        "spark.sql.session.timeZone": "UTC",
        # For short lives and small tables, as with Kafka: what starts fastest, and one task where the defaults are 200 and 50.
        "spark.driver.extraJavaOptions": f"-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -Djava.io.tmpdir={here}",
        "spark.sql.shuffle.partitions": "1",
        "spark.databricks.delta.snapshotPartitions": "1",
    }
    session = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
    java = session.sparkContext._gateway.proc
    try:
        yield session
    finally:
        session.stop()
        # It ends when its standard input does, but not before this process otherwise.
        java.stdin.close()
        java.wait()
