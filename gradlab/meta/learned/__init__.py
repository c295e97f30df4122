"""Learned optimizers: update rules whose weights are leaves, and so can be trained."""

from gradlab.meta.learned._learned_mlp import learned_mlp as learned_mlp
from gradlab.meta.learned._learned_rnn import learned_rnn as learned_rnn
from gradlab.meta.learned._storage import load_learned as load_learned
from gradlab.meta.learned._storage import save_learned as save_learned
from gradlab.meta.learned._weights import mlp_weights as mlp_weights
from gradlab.meta.learned._weights import rnn_weights as rnn_weights
