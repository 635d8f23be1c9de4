"""Does the sequential verdict err as seldom as it says? A simulation of whole studies that look after every seed.

Reading order: ``walk`` (one comparison followed from look to look), ``rule`` (what a study would have said), ``cells``
(how often that is wrong), ``power`` (how soon it decides), ``families`` (several arms), ``page`` (what is run and
written). Data are drawn by ``docs/simulation.py``, learning-rate selection included.
"""
