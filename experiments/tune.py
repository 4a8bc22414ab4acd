"""`raygenre tune` as a script: find the CNN's best setting and register the winner.

Run, from the project's folder:
    python experiments/tune.py                                          # synthetic tracks: 1 or 2 minutes on 2 cores
    python experiments/tune.py --data PATH --trials 8 --epochs 40       # GTZAN: 19 minutes on 2 cores
    python experiments/tune.py --resume                                 # resume the latest study
"""

import typer

from raygenre.cli.tune import tune

if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(tune)
    app()
