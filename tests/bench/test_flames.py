"""Flame graphs are of what was recorded: frames merged, widths in proportion, nothing but the tail left out."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter

from bench.flames import Box, boxes, flame_graph, folded, perf_stacks

RAW = """\
<module> (a.py:1);run (uvloop/__init__.py:92);serve (callboard_edge/app.py:10);write (b.py:4) 30
<module> (a.py:1);run (uvloop/__init__.py:92);serve (callboard_edge/app.py:12);write (b.py:9) 20
<module> (a.py:1);run (uvloop/__init__.py:92);other (c.py:1) 49
<module> (a.py:1);run (uvloop/__init__.py:92);rare (c.py:1) 1
"""
PERF = """\
nats-server 12
\tffff8 tcp_sendmsg+0x10 ([kernel.kallsyms])
\t4321 main.write (/bin/nats-server)

nats-server 12
\t4321 main.write+0x7 (/bin/nats-server)
"""


def test_samples_of_one_function_are_one_frame_whatever_the_line() -> None:
    stacks = folded(RAW)
    assert stacks[("serve (callboard_edge/app.py)", "write (b.py)")] == 50
    assert boxes(stacks)[0] == Box(0.0, 0.49, 0, "other (c.py)")
    assert Box(0.5, 0.5, 1, "write (b.py)") in boxes(stacks)
    assert sum(box.share for box in boxes(stacks) if box.depth == 0) == 1


def test_frames_of_the_kernel_are_told_apart() -> None:
    assert perf_stacks(PERF) == Counter({("main.write", "tcp_sendmsg [k]"): 1, ("main.write",): 1})


def test_the_picture_says_every_name_and_share() -> None:
    stacks = folded(RAW)
    stacks[("<tiny>",)] = 1
    stacks[("other (c.py)",)] += 1000
    picture = ElementTree.fromstring(flame_graph("edge & more", stacks))
    titles = [element.text or "" for element in picture.iter() if element.tag.endswith("title")]
    assert "other (c.py): 95.3%" in titles
    assert not any("tiny" in title for title in titles)
    assert flame_graph("nothing", Counter()).endswith("</svg>\n")
