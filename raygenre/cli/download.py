"""`raygenre download`: fetch GTZAN."""

from raygenre.cli.console import fail, out


def download() -> None:
    """Fetch GTZAN from Kaggle, and say where it lies."""
    import kagglehub

    from raygenre.data.dataset import GTZAN_ON_KAGGLE

    try:
        folder = kagglehub.dataset_download(GTZAN_ON_KAGGLE)
    except Exception as error:  # noqa: BLE001 (whatever the network or Kaggle come up with)
        fail(
            f"{GTZAN_ON_KAGGLE} could not be fetched from Kaggle: {error}\n"
            "Fetch it in a browser and unpack it; --data takes the folder."
        )
    out.print(f'GTZAN lies in {folder}; next:\n  make tune ARGS="--data {folder}"', soft_wrap=True)
