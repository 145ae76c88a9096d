"""Muon against torch's own (in bfloat16), the singular values, and two processes by hand."""

import pytest
import torch

from lib.sandbox.muon import ITERATIONS, MOMENTUM, Muon, orthogonalised

SHAPES = [(16, 16), (32, 16), (16, 48)]


def flat_of(matrices):
    flat = torch.nn.Parameter(torch.cat([m.flatten() for m in matrices]))
    flat.grad = torch.zeros_like(flat)
    return flat


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_become_alike_and_directions_stay(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, size, right = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalised(matrix, iterations=5)
    turned = left.mT @ found @ right.mT
    assert size.max() > 2 * size.min()
    assert ((turned.diagonal() > 0.5) & (turned.diagonal() < 1.3))[size > 0.1 * size[0]].all()
    torch.testing.assert_close(turned, turned.diagonal().diag(), atol=1e-4, rtol=0)


def test_size_of_the_gradient_does_not_matter():
    matrix = torch.randn(8, 12, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalised(1000 * matrix), orthogonalised(matrix))
    assert torch.equal(orthogonalised(torch.zeros(4, 4)), torch.zeros(4, 4))


def test_steps_are_those_of_torch():
    draw = torch.Generator().manual_seed(2)
    start = [torch.randn(shape, generator=draw) for shape in SHAPES]
    theirs = [torch.nn.Parameter(m.clone()) for m in start]
    torch_muon = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0, momentum=MOMENTUM,
                                  ns_steps=ITERATIONS, adjust_lr_fn="original")
    flat = flat_of(start)
    muon = Muon(flat, start, rank=0, workers=1)
    for _ in range(3):
        gradients = [torch.randn(shape, generator=draw) for shape in SHAPES]
        flat.grad.copy_(torch.cat([g.flatten() for g in gradients]))
        muon.step(0.1)
        for weight, gradient in zip(theirs, gradients, strict=True):
            weight.grad = gradient
        torch_muon.step()
    moved = flat.detach() - torch.cat([m.flatten() for m in start])
    expected = torch.cat([(w.detach() - m).flatten() for w, m in zip(theirs, start, strict=True)])
    assert (moved - expected).norm() < 0.02 * expected.norm()  # bfloat16 has three digits


def test_shares_of_two_processes_make_one_step(monkeypatch):
    draw = torch.Generator().manual_seed(3)
    start = [torch.randn(shape, generator=draw) for shape in SHAPES]
    gradient = torch.randn(sum(m.numel() for m in start), generator=draw)
    moved, shares = [], []
    monkeypatch.setattr("lib.sandbox.muon.dist.all_reduce", lambda part: shares.append(+part))
    for rank, workers in ((0, 1), (0, 2), (1, 2)):
        flat = flat_of(start)
        flat.grad.copy_(gradient)
        Muon(flat, start, rank, workers).step(1.0)
        moved.append(flat.detach() - flat_of(start).detach())
    assert len(shares) == 2 and not torch.equal(*shares)
    torch.testing.assert_close(moved[1] + moved[2], moved[0])
