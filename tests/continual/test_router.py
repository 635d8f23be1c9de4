"""The router on points whose tasks are known, and its features."""

import torch

from rankwise.continual.router import Region, features, region, route
from rankwise.engine import Forward


def clouds(seed=0, spread=0.05):
    stream = torch.Generator().manual_seed(seed)
    middles = torch.eye(3, 8, dtype=torch.float64)
    return {
        name: middles[i] + spread * torch.randn(40, 8, generator=stream, dtype=torch.float64)
        for i, name in enumerate("abc")
    }


def test_well_separated_tasks_are_told_apart():
    regions = {name: region(points, 5) for name, points in clouds().items()}
    for name, points in clouds(seed=1).items():
        assert route(points, regions, 0) == [name] * 40


def test_one_centroid_is_the_mean():
    points = clouds()["a"]
    found = region(points, 1)
    torch.testing.assert_close(found.centroids[0], points.mean(0))
    others = points[::2].mean(0)
    assert abs(found.radius - float((points[1::2] - others).norm(dim=1).max())) < 1e-9, (
        "measured on points it has not seen"
    )
    assert len(region(points[:3], 5).centroids) == 3, "no more centroids than points"


def test_far_points_are_the_bases():
    regions = {name: region(points, 2) for name, points in clouds().items()}
    far = torch.full((2, 8), 3.0, dtype=torch.float64)
    assert route(far, regions, 1.5) == [None, None]
    assert None not in route(far, regions, 0)
    assert set(route(clouds()["b"], regions, 1.5)) == {"b"}
    assert set(route(clouds(seed=2)["b"], regions, 1.5)) == {"b"}, "new examples of a task are its own"


def test_survives_json():
    one = region(clouds()["a"], 3)
    two = Region.from_dict(one.to_dict())
    assert torch.equal(one.centroids, two.centroids)
    assert one.radius == two.radius


def test_features_are_of_the_prompt_alone(tiny_base, tiny_splits):
    """The answer does not leak into what the router sees, and batching changes nothing."""
    examples = tiny_splits.train[:6]
    forward = Forward(tiny_base.model)
    found = features(forward, examples)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(6).double())
    for i, example in enumerate(examples):
        first = example.target_mask.index(True)
        with torch.no_grad():
            hidden = forward.backbone(torch.tensor([example.input_ids[:first]]), output_hidden_states=True)
        mean = hidden.hidden_states[-1][0].double().mean(0)
        torch.testing.assert_close(found[i], mean / mean.norm(), atol=1e-5, rtol=1e-4)
