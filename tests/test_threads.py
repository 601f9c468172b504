import threading

import pytest
import torch

from ltm_edu.runs import threads
from ltm_edu.runs.threads import in_parallel
from ltm_edu.store.errors import InputError


def test_results_arrive_in_order_and_are_computed_only_a_little_ahead():
    taken = []

    def items():
        for i in range(40):
            taken.append(i)
            yield i

    def function(i):
        if i == 20:
            raise InputError("20 cannot be read")
        return i

    ahead = torch.get_num_threads() + 1
    results = in_parallel(function, items())
    for expected in range(20):
        assert next(results) == expected
        assert len(taken) <= expected + 1 + ahead
    with pytest.raises(InputError, match="20 cannot"):
        next(results)
    assert len(taken) <= 20 + 1 + ahead


def test_torch_uses_one_thread_in_each_thread_and_all_of_them_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen = set(
            in_parallel(lambda _: (torch.get_num_threads(), threading.get_ident()), range(9))
        )
        assert {n for n, _ in seen} == {1}
        assert threading.get_ident() not in {thread for _, thread in seen}
        assert torch.get_num_threads() == 3
        results = in_parallel(lambda x: x, range(9))
        next(results)
        results.close()  # a reader that stops early leaves torch as it was, too
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_a_gpus_solvers_are_loaded_once_and_before_the_threads_start(monkeypatch):
    # Loaded by two threads at once, they raise "lazy wrapper should be called at most once".
    loaded_in, worked = [], []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    for name in ("eye", "ones"):
        real = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *size, device, real=real: real(*size))
    solve = torch.linalg.solve

    def noted(*args):
        loaded_in.append((threading.get_ident(), len(worked)))
        return solve(*args)

    monkeypatch.setattr(torch.linalg, "solve", noted)
    threads._load_solvers.cache_clear()
    for _ in range(2):
        list(in_parallel(worked.append, range(5)))
    assert loaded_in == [(threading.get_ident(), 0)]
    threads._load_solvers.cache_clear()
