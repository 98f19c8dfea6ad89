"""The runtime half: captures models with TorchDynamo and turns the evidence into verdicts."""
