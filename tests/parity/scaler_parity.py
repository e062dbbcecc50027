# SPDX-License-Identifier: Apache-2.0
"""scaler_parity: the dynamic loss scale against torch.amp.GradScaler, step by step, on scripted overflows."""

import random

import torch

from cases import BUILD, case, main, run


def theirs(interval, script):
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0, growth_interval=interval)
    scales = []
    for c in script:
        scales.append(scaler.get_scale())
        optimizer.zero_grad()
        scaler.scale((weight * (1.0 if c == "." else float("inf"))).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    return scales


def agrees(interval, script):
    ours = [float(line) for line in run(BUILD / "bin/parity_scaler", interval, script).split()]
    expected = theirs(interval, script)
    assert ours == expected, f"interval {interval}, script {script}:\n{ours}\n{expected}"
    assert len(ours) == len(script)


@case
def scripted_overflows():
    agrees(4, "....x....x.xx........x...x....................xxxxx....")


@case
def published_interval():
    agrees(2000, "." * 1999 + "x" + "." * 2001 + "x...")


@case
def random_overflows():
    draw = random.Random(28)
    for interval in (1, 2, 3, 7):
        agrees(interval, "".join(draw.choice("....x") for _ in range(60)))


if __name__ == "__main__":
    raise SystemExit(main())
