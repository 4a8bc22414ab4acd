"""The tables of jobs.

Jobs and the blocks of their files are stored as rows, so the database is all that the replicas need to share. All times
are in seconds since 1970 and come from the database, because the clocks of the machines differ.
"""

from sqlalchemy import BigInteger, Column, Double, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
jobs = Table(
    "raygenre_jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("request_id", String(100), nullable=False),
    Column("state", String(10), nullable=False),
    Column("names", Text),  # JSON: the names of a form's files; null if the body is the file
    Column("files", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),  # total size of the files, which are deleted when the job finishes
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("expires_at", Double, index=True),  # when the row is deleted
    Column("due_at", Double, index=True),  # when a replica may claim the job; null if there is nothing to do
    Column("token", String(32), nullable=False),  # identifies the latest claim; only the claimant may change the job
    Column("attempts", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("result", Text),
    Column("error", Text),
    Column("callback", Text),
    Column("callback_attempts", Integer, nullable=False),
)
blocks = Table(
    "raygenre_job_blocks",
    metadata,
    Column("job", String(32), primary_key=True),
    Column("file", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)
