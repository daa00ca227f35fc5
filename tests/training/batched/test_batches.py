import pytest
import torch

from skamort.training import InMemoryData
from skamort.training.batched import StackedBatches

N_ROWS = 11


def make_data(seed):
    generator = torch.Generator().manual_seed(seed)
    return InMemoryData(*(torch.randn(N_ROWS, width, generator=generator) for width in (3, 2)))


def generators(models):
    return [torch.Generator().manual_seed(100 + model) for model in models]


@pytest.mark.parametrize("are_shared", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4, N_ROWS, 50])
@pytest.mark.parametrize("models", [[0, 2], [0, 1, 2]])
def test_each_model_gets_the_batches_that_it_would_get_alone(
    models, batch_size, shuffled, are_shared
):
    one = make_data(0)
    data = [one if are_shared else make_data(model) for model in range(3)]
    stacked = StackedBatches(data, batch_size)
    together = list(stacked.batches(models, generators(models) if shuffled else None))
    for place, model in enumerate(models):
        generator = generators([model])[0] if shuffled else None
        alone = list(data[model].batches(batch_size, generator))
        assert len(together) == len(alone)
        for ours, theirs in zip(together, alone, strict=True):
            for tensor, expected in zip(ours, theirs, strict=True):
                assert torch.equal(tensor[place].T, expected)


@pytest.mark.parametrize("are_shared", [False, True])
def test_one_batch_of_all_models_is_not_copied(are_shared):
    one = make_data(0)
    stacked = StackedBatches([one if are_shared else make_data(n) for n in range(3)], N_ROWS)
    for _ in range(2):
        (batch,) = stacked.batches([0, 1, 2])
        assert [t.data_ptr() for t in batch] == [t.data_ptr() for t in stacked.whole]
