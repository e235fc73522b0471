"""Training in several processes that are one: the same params, whatever their number, checkpoints between."""

import fcntl
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from hosts import outputs_on_hosts
from one_of_many import OPTIMIZER, at_start, like, train

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parent.parent / "one_of_many.py"


def test_any_number_of_hosts_comes_to_the_params_of_one(tmp_path):
    for hosts, first, last in ((2, 0, 30), (4, 30, 60)):
        outputs = outputs_on_hosts(hosts, SCRIPT, tmp_path, first, last)
        said = {output.splitlines()[-1] for output in outputs}
        assert len(said) == 1, outputs  # the same value of the penalty everywhere
        assert said.pop().endswith(f"at step {last}"), outputs

    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        params, data = at_start()
        params, state = train(params, OPTIMIZER.init(params), data, 60)
        with ocp.StandardCheckpointer() as checkpointer:
            ended = checkpointer.restore(tmp_path / "60", like({"params": params, "state": state}))
    ended, alone = jax.device_get((ended, {"params": params, "state": state}))
    zeros = [np.mean(alone["params"][layer]["kernel"] == 0) for layer in ("first", "last")]
    assert 0.1 < min(zeros) <= max(zeros) < 0.9, zeros
    for ours, theirs in zip(jax.tree.leaves(ended), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(ours == 0, theirs == 0)
        # The weight of the newest gradient in the average is in float32, and differs with the compiler.
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9)


# The second starts a third process, which holds a lock until it ends. If nobody kills it, it leaves a file.
STUCK = """
import subprocess, sys, time
from pathlib import Path

folder, then = Path(sys.argv[4]), sys.argv[5]
THIRD = '''
import fcntl, sys, time
from pathlib import Path

folder = Path(sys.argv[1])
held = open(folder / "lock", "w")
fcntl.flock(held, fcntl.LOCK_EX)
(folder / "started").touch()
time.sleep(20)
(folder / "lived").touch()
'''
if sys.argv[3] == "1":
    subprocess.Popen([sys.executable, "-c", THIRD, str(folder)]).wait()
while not (folder / "started").exists():
    time.sleep(0.01)
print("all have started", flush=True)
sys.exit(3) if then == "fails" else time.sleep(20)
"""


@pytest.mark.parametrize(
    ("then", "seconds", "said"),
    [("fails", 20, "process 0 ended with 3\n--- 0:\nall have started"), ("waits", 2, "the time is over")],
)
def test_if_one_fails_or_none_ends_all_are_ended(then, seconds, said, tmp_path):
    script = tmp_path / "stuck.py"
    script.write_text(STUCK)
    with pytest.raises(AssertionError, match=said):
        outputs_on_hosts(2, script, tmp_path, then, seconds=seconds)
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # when nobody holds it
    assert not (tmp_path / "lived").exists()
