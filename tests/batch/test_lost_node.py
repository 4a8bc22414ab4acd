"""A batch predicts each song exactly once, even if its cluster loses and gains a node."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.sounds import encode, noise

pytestmark = pytest.mark.slow

SONGS = 60

PROGRAM = """
import json, sys
import ray
from ray.cluster_utils import Cluster
from raygenre.batch.nodes import check_nodes
from raygenre.batch.output import Output
from raygenre.batch.predict import predict_all
from raygenre.batch.songs import find_songs
from raygenre.model.classifier import Classifier
from raygenre.model.network import GenreCNN, ModelConfig
from raygenre.system.location import Location

source, target, answer = sys.argv[1:]
# A busy machine must not lose another node: one that is slow has minutes, and one that refuses connections 20 s.
patient = {"health_check_period_ms": 1000, "health_check_timeout_ms": 20_000, "health_check_failure_threshold": 20}
head = {"num_cpus": 0, "include_dashboard": False, "_system_config": patient}
cluster = Cluster(initialize_head=True, head_node_args=head)
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
ray.init(address=cluster.address, log_to_driver=False)
output = Output(Location(target))
classifier = Classifier(GenreCNN(ModelConfig(genres=2, widths=(4, 4, 4))), ("blues", "jazz"))
check_nodes([source], output.location)
paths = []
for outcome in predict_all(classifier, find_songs([source]), output):
    paths.append(outcome.path)
    assert not outcome.error
    if len(paths) == 1:
        mine = ray.get_runtime_context().get_node_id()  # losing this one would end the driver
        [store] = [node["ObjectStoreSocketName"] for node in ray.nodes() if node["NodeID"] == mine]
        lost = next(node for node in nodes if node.plasma_store_socket_name != store)
        cluster.remove_node(lost, allow_graceful=False)
        cluster.add_node(num_cpus=1)
with open(answer, "w") as file:
    json.dump([paths, output.done().to_pylist()], file)
ray.shutdown()  # before the cluster ends, which would end the driver
cluster.shutdown()
"""


def test_each_song_is_predicted_once_although_a_node_is_lost(tmp_path: Path) -> None:
    songs = tmp_path / "songs"
    songs.mkdir()
    content = encode(noise(seconds=30, seed=0))
    for number in range(SONGS):
        (songs / f"{number:02d}.wav").write_bytes(content)
    command = [sys.executable, "-c", PROGRAM, str(songs), str(tmp_path / "out"), str(tmp_path / "answer.json")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stderr
    streamed, done = json.loads((tmp_path / "answer.json").read_text())
    expected = sorted(str(path) for path in songs.iterdir())
    assert sorted(streamed) == sorted(done) == expected
