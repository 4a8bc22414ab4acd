"""`raygenre render`: draw songs as the dataset drew its own."""

from pathlib import Path
from typing import Annotated

import typer

from raygenre.cli.console import fail, out


def render(
    audio: Annotated[Path, typer.Argument(help="A song; of one longer than 31 s the middle 30 s are drawn.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The PNG to write.")],
) -> None:
    """Draw a song's spectrogram exactly as the dataset drew its own."""
    import torch

    from raygenre import spectrogram
    from raygenre.audio import decode, middle_window

    try:
        samples = torch.from_numpy(middle_window(decode(audio)).samples)
        levels = spectrogram.levels(samples, under_frame=True).numpy()
        unfinished = output.with_name(output.name + ".unfinished")
        unfinished.write_bytes(spectrogram.write_png(levels))
        unfinished.replace(output)
    except (ValueError, OSError) as error:
        fail(f"{audio}: {error}")
    out.print(f"{output}: {audio} as the dataset would have drawn it", highlight=False, soft_wrap=True)
