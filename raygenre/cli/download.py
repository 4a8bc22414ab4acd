"""`raygenre download`: download GTZAN."""

from raygenre.cli.console import fail, out


def download() -> None:
    """Download GTZAN from Kaggle and print its folder."""
    import kagglehub

    from raygenre.data.dataset import GTZAN_ON_KAGGLE

    try:
        folder = kagglehub.dataset_download(GTZAN_ON_KAGGLE)
    except Exception as error:  # noqa: BLE001 (kagglehub and the network raise many types of errors)
        fail(
            f"downloading {GTZAN_ON_KAGGLE} from Kaggle failed: {error}\n"
            f"Download it from https://www.kaggle.com/datasets/{GTZAN_ON_KAGGLE} in a browser, unpack it, and pass "
            "the folder as --data."
        )
    out.print(f'GTZAN is in {folder}. Next:\n  make tune ARGS="--data {folder}"', soft_wrap=True)
