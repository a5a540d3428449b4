#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A target that runs what it is told.

One line of JSON on standard input is a piece of Python; it is run at module level in a file of its
own name, told.py, so that lines can be told apart in reports. The answer is one line of JSON: the
value of `answer` afterwards, or {"error": ...}.
"""

import json
import sys
import traceback

world = {"__name__": "told"}
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    world["answer"] = None
    try:
        exec(compile(json.loads(line), "told.py", "exec"), world)
        words = json.dumps(world["answer"])
    except Exception:
        words = json.dumps({"error": traceback.format_exc()})
    print(words, flush=True)
