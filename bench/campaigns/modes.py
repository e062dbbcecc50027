# SPDX-License-Identifier: Apache-2.0
"""modes: how many modes of a generated set the recipe `wgan_gp` covers, and the share of 10,000 samples within 3 sigma of one."""

import sys

import trials

SETS = {"ring": ("configs/wgan-gp-ring.yaml", 0.02), "grid": ("configs/wgan-gp-grid.yaml", 0.05)}


def centres(name):
    import numpy

    if name == "ring":
        angle = numpy.pi * numpy.arange(8) / 4
        return 2 * numpy.stack([numpy.cos(angle), numpy.sin(angle)], axis=1)
    places = numpy.arange(-4, 5, 2)
    return numpy.array([(x, y) for x in places for y in places], dtype=float)


def judge(points, modes, sigma):
    import numpy

    apart = numpy.linalg.norm(points[:, None, :] - modes[None, :, :], axis=2)
    near = apart.min(axis=1) <= 3 * sigma
    hits = numpy.bincount(apart.argmin(axis=1)[near], minlength=len(modes))
    return {"modes": len(modes), "covered": int((hits > 0).sum()), "rarest": int(hits.min()), "within_3_sigma": float(near.mean())}


def main():
    parser = trials.arguments(__doc__)
    parser.add_argument("--set", choices=[*SETS, "all"], default="all")
    options = parser.parse_args()
    names = list(SETS) if options.set == "all" else [options.set]
    wanted = [{"campaign": "modes", "set": name, "seed": seed} for name in names for seed in trials.seeds(options.seeds)]
    for trial in trials.missing(options.out, wanted):
        config, sigma = SETS[trial["set"]]
        points, seconds = trials.train_and_sample(config, options.ranks, {"training.seed": trial["seed"]}, count=10000)
        trials.record(options.out, trial, {**judge(points.astype(float), centres(trial["set"]), sigma), "seconds": seconds})
    return 0


if __name__ == "__main__":
    sys.exit(main())
