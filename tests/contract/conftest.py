import torch

torch.set_num_threads(1)  # tiny matrices: a second thread costs more than it brings
