"""The database tables of the studies service.

A study is a row that its driver, the commands and the arbiter share: the commands write its settings, the driver writes
its progress, and the arbiter writes how many places it may use.
"""

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, String, Table, Text

metadata = MetaData()
studies = Table(
    "raygenre_studies",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("owner", String(100), nullable=False),  # who submitted it
    Column("state", String(10), nullable=False),
    Column("state_at", Double, nullable=False),  # time at which the study entered this state
    Column("created_at", Double, nullable=False),
    Column("request", Text, nullable=False),  # JSON: the options and their files; see raygenre.studies.request
    Column("storage", Text, nullable=False),  # where the study is stored
    Column("address", Text, nullable=False),  # Ray cluster, as the submitter named it; empty for this machine
    # The driver: the number of its start, and where it runs.
    Column("attempt", Integer, nullable=False),
    Column("job", Text, nullable=False),  # Ray's job ID, or HOST:PID
    Column("scope", Text, nullable=False),  # the cluster or machine that provides places; empty until the study starts
    Column("heartbeat_at", Double, nullable=False),
    # Settings that users may change while it runs.
    Column("priority", Integer, nullable=False),
    Column("max_concurrent", Integer),
    Column("trials", Integer),
    Column("time_budget", Double),  # s
    # What the driver reports.
    Column("phase", String(20), nullable=False),
    Column("places", Integer, nullable=False),  # places that it could use now
    Column("running", Integer, nullable=False),  # places that it is using
    Column("cpus", Double, nullable=False),  # CPUs of one place
    Column("gpus", Double, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("pruned", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("best", Double),
    Column("objective", String(40), nullable=False),
    Column("cpu_seconds", Double, nullable=False),
    Column("gpu_seconds", Double, nullable=False),
    Column("seconds_left", Double),
    Column("bytes", BigInteger),
    Column("errors", Text, nullable=False),  # JSON: the latest failures of trials
    Column("study_id", String(32), nullable=False),  # id in the ledger; empty until the ledger exists
    Column("error", Text, nullable=False),  # why the study failed
    # What the arbiter grants.
    Column("granted", Integer),
)
limits = Table(
    "raygenre_study_limits",
    metadata,
    Column("owner", String(100), primary_key=True),  # empty for all users without a limit of their own
    Column("places", Integer, nullable=False),
)
