"""``rankwise study orthogonalization``: do loss spikes come from orthogonalization events?"""
