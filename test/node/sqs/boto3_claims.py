# What users of boto3 rely on, against the broker at MILLRACE_URL, signed with AWS_ACCESS_KEY_ID and
# AWS_SECRET_ACCESS_KEY.
#
#   /usr/bin/python3 -B boto3_claims.py [name …]
#
# Runs the claims of claims/*.py, or those named, several at a time: each has queues of its own. Prints a
# line of JSON for each, {name, ok, error}, as soon as it is known.
import json
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor

from claims import batches, dead_letters, fifo, messages, queues, receiving, resources, signatures, wire

MODULES = (queues, messages, batches, receiving, fifo, dead_letters, resources, wire, signatures)
AT_A_TIME = 8


def claims():
    return {
        name: claim for module in MODULES for name, claim in vars(module).items() if name.startswith("test_")
    }


def tell(name, claim):
    error = None
    try:
        claim()
    except Exception:  # Whatever it is, it is told.
        error = traceback.format_exc()
    line = json.dumps({"name": name, "ok": error is None, "error": error})
    # In one piece: others print, too.
    print(f"{line}\n", end="", flush=True)
    return error is None


def main(names):
    known = claims()
    chosen = {name: known[name] for name in names} if names else known
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return all(list(pool.map(tell, chosen.keys(), chosen.values())))


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
