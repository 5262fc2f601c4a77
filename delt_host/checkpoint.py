"""TEMPORARY stand-in until checkpoint arrives: overwrite me."""


def fit_state(model, state, source):
    model.load_state_dict(state)


def read_checkpoint(path):
    raise NotImplementedError
