"""What is counted and estimated for many chips, against figures worked out by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import costs, scaling
from benchmarks.cases import Network
from flax_models import MLP, RNN

CHIP = scaling.Chip(
    flops=1e12,
    memory=1e11,
    link=1e10,
    group=16,
    axes=2,
    outside=1e9,
    host_link=1e9,
    host=4,
    cores=8,
    hop=1e-6,
)


def test_the_page_holds_the_tables_of_what_was_counted():
    page = scaling.PAGE.read_text()
    assert scaling.renewed(page) == page


def test_all_reduce_over_a_ring_and_between_groups():
    assert scaling.all_reduce(1e10, CHIP, 1) == 0
    assert scaling.all_reduce(1e10, CHIP, 2) == 1  # sends half, then the other half
    assert scaling.all_reduce(1e10, CHIP, 16) == pytest.approx(2 * 15 / 16)
    # four groups: each chip has a sixteenth of the bytes to send at a tenth of the rate
    assert scaling.all_reduce(1e10, CHIP, 64) == pytest.approx(2 * 15 / 16 + 2 * 3 / 4 * 10 / 16)


def test_hops_along_the_axes_of_a_torus_and_up_a_tree():
    assert scaling.axes(8, 2) == [4, 2]
    assert scaling.axes(1024, 3) == [16, 8, 8]
    assert scaling.hops(CHIP, 1) == 0
    assert scaling.hops(CHIP, 8) == 2 * (3 + 1)
    assert scaling.hops(CHIP, 64) == 2 * (3 + 3) + 2 * 2
    switch = scaling.ACCELERATORS["H100 SXM"]
    assert scaling.hops(switch, 64) == 12


def test_the_longest_part_bounds_a_step():
    counted = {
        "flops_an_example": 1e9, "flops_a_step": 0, "bytes_an_example": 4e8, "bytes_a_step": 0,
        "product_bytes_an_example": 1e8, "product_bytes_a_step": 0, "all_reduces": 10,
        "all_reduce_bytes": 1e9, "parameters": 0, "reading": 1e-6, "example": 1e5,
    }  # fmt: skip
    alone = scaling.estimate(counted, CHIP, 100, 1)
    assert alone.arithmetic == pytest.approx(0.1)
    assert alone.memory == pytest.approx(0.05)  # in bfloat16
    assert alone.memory_unfused == pytest.approx(0.2)
    assert alone.input == pytest.approx(0.01)  # from the host
    assert (alone.bound, alone.seconds) == ("arithmetic", pytest.approx(0.1))
    many = scaling.estimate(counted | {"reading": 0.001}, CHIP, 100, 16)
    assert many.gradients == pytest.approx(0.1 * 2 * 15 / 16)
    assert many.waiting == pytest.approx(10 * 12e-6)
    assert many.input == pytest.approx(0.05)  # by two cores
    assert many.bound == "all-reduce"
    assert many.seconds == pytest.approx(many.gradients + many.waiting)


def test_products_and_loops_are_counted_by_hand():
    def steps(x, weight):
        return jax.lax.scan(lambda h, _: (h @ weight, None), x, length=5)[0]

    x, weight = jnp.zeros((2, 3)), jnp.zeros((3, 3))
    jaxpr = jax.make_jaxpr(jax.jit(steps))(x, weight)
    assert [rounds for _, rounds in costs.loops(jaxpr.jaxpr)] == [5]
    assert costs.product_bytes(jaxpr.jaxpr) == 5 * 4 * (6 + 9 + 6)


def test_a_dense_layer_counts_its_products():
    """Forward and weight gradient, 2 * 40 * 30 operations an example each; little else."""
    few, many = (
        costs.count(Network(MLP((30,)), (batch, 40), classes=30), batch) for batch in (4, 8)
    )
    assert (many["flops"] - few["flops"]) / 4 == pytest.approx(2 * 2 * 40 * 30, rel=0.1)


def test_all_rounds_of_a_recurrent_network_are_counted():
    """A step of 16 units makes four products of 16 x 16: two each way; and each round as many."""
    few, many = (costs.count(Network(RNN(16), (4, steps, 16)), 4) for steps in (10, 20))
    a_round = (many["flops"] - few["flops"]) / 10 / 4
    assert a_round == pytest.approx(2 * 5 * 16 * 16, rel=0.2)


def test_eight_devices_exchange_the_gradient_of_every_parameter():
    found = costs.exchanged(Network(MLP((30,)), (8, 40), classes=30))
    assert found["parameters"] == 40 * 30 + 30
    assert 4 * found["parameters"] <= found["all_reduce_bytes"] <= 4 * found["parameters"] + 100
