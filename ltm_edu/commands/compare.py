"""`ltm-edu compare`: transformations on the same episodes, each one's difference to the paper's."""

from __future__ import annotations

import argparse
from dataclasses import replace

import torch

from ..episodes import Protocol
from ..league import Method, all_methods, score_league
from ..runs.processes import processes, rank
from ..runs.recipes import recipe_for
from ..store.files import data_dir, need_places, written_whole
from . import chosen_dataset, chosen_folds, in_options, report_skipped


def run(options: argparse.Namespace) -> int:
    """Score every transformation, training-free and on request trained; print one table."""
    with processes(options.device) as device:
        return _compare(options, device)


def _compare(options: argparse.Namespace, device: torch.device) -> int:
    need_places(*filter(None, (options.json, options.png)))
    dataset = chosen_dataset(options)
    folds = chosen_folds(options, dataset)
    methods = [Method.parse(text) for text in options.method] or all_methods()
    recipe = recipe_for(options.data, options.recipe).changed(options.set)
    recipe = replace(recipe, novel_images=options.novel_images or recipe.novel_images)
    seeds = tuple(options.seed) if options.seed else (0,)
    protocol = Protocol(options.rule, recipe.novel_images, options.shots, options.episodes, seeds)
    league = score_league(
        methods,
        dataset,
        folds,
        recipe,
        protocol,
        options.split,
        options.train,
        options.cache or data_dir() / "cache",
        device=device,
        command=options.command_line,
    )
    if rank() > 0:
        return 0
    if options.json:
        league.save(options.json)
    print(in_options(league.table()))
    if options.png:
        from ..figures import league_chart

        figure = league_chart(league)
        with written_whole(options.png) as part:
            figure.savefig(part, format="png", bbox_inches="tight")
    return report_skipped(league.skipped, "compared")
