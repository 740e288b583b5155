"""What may not be imported, seen from a fresh interpreter."""

import subprocess
import sys

HEAVY = ("torch", "transformers", "pandas", "matplotlib")


def loaded_after(code):
    probe = f"import sys; {code}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1].split()


def test_the_simulator_needs_no_torch():
    everything = (
        "import pkgutil, importlib, hyflexsim.sim as sim;"
        "walk = pkgutil.walk_packages(sim.__path__, 'hyflexsim.sim.');"
        "[importlib.import_module(module.name) for module in walk]"
    )
    assert loaded_after(everything) == []


def test_a_plan_is_played_without_torch():
    assert loaded_after("import hyflexsim.workloads.run.run, hyflexsim.workloads.cli.main") == []


def test_help_answers_at_once():
    code = (
        "from hyflexsim.workloads.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
    )
    assert loaded_after(f"exec({code!r})") == []
