# SPDX-License-Identifier: MIT
"""Native frames of a snapshot's sites."""

from snapshot_reader import INUSE_SPACE


def below(snapshot, function, value=INUSE_SPACE):
    """The native frames inside the innermost Python frame, largest site first, of a function."""
    found = []
    for site in sorted(snapshot.sites, key=lambda site: -site.values[value]):
        python = [at for at, frame in enumerate(site.all_frames) if frame[3] is None]
        if python and site.all_frames[python[0]][0].split(".")[0] == function and python[0]:
            found.append(site.all_frames[:python[0]])
    return found
