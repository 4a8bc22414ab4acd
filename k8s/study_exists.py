"""Print `yes` if a study exists, otherwise `no`, for begin_or_resume.sh.

Run:
    python -m k8s.study_exists STUDY              # the storage is RAYGENRE_STORAGE
"""

import sys

from raygenre.search.space import config_file
from raygenre.system.storage import resolve


def main(study: str) -> int:
    """Print the answer and return the exit status, which is 1 if the storage cannot be read."""
    try:
        studies = resolve().studies
        studies.check_access()
        exists = config_file.NAME in (studies / study).files()
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("yes\n" if exists else "no\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
