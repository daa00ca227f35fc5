import pickle

import torch
from torch import nn
from torch.utils.data import TensorDataset

from skamort.modules import Decoder, SparseAutoencoder, make_encoder
from skamort.training import LatentActivity, SparseCodingLoss, SparseNet


def make_net(callbacks, batch_size=8, learning_rate=1e-12, n_components=6):
    generator = torch.Generator().manual_seed(0)
    atoms = nn.functional.normalize(torch.randn(n_components, 4, generator=generator))
    encoder = make_encoder(4, n_components, generator=generator)
    module = SparseAutoencoder(encoder, nn.ReLU(), Decoder(atoms))
    net = SparseNet(
        module,
        SparseCodingLoss(0.05),
        learning_rate=learning_rate,
        batch_size=batch_size,
        callbacks=callbacks,
        max_epochs=3,
    )
    return net.initialize()


def make_data(n_samples=50):
    return TensorDataset(torch.randn(n_samples, 4, generator=torch.Generator().manual_seed(1)))


def test_activity_is_that_of_the_codes():
    data = make_data()
    net = make_net([("activity", LatentActivity())])
    net.module_.encoder.bias.data[2] = -100.0
    net.partial_fit(data)
    codes = net.module_.encode(data.tensors[0])  # the weights have hardly moved
    activity = net.callback("activity")
    torch.testing.assert_close(activity.frequency_, (codes > 0).float().mean(0))
    assert activity.silence_[2] == 150
    # The batches keep their order: the last one, of two samples, tells who is awake.
    awake = (codes[48:] > 0).any(0)
    assert (activity.silence_[awake] == 0).all()
    assert (activity.silence_[~awake] > 0).all()


def test_counting_goes_on_where_training_does():
    net = make_net([("activity", LatentActivity())])
    net.module_.encoder.bias.data[2] = -100.0
    net.partial_fit(make_data())
    pickle.loads(pickle.dumps(net)).partial_fit(make_data())
    net.partial_fit(make_data())
    assert net.callback("activity").silence_[2] == 300
