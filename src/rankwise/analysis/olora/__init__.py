"""``analyze olora``: is an orthonormal start ahead of LoRA, and because of what? (2406.01775)"""
