"""Train a regressor: python train.py --regressor pymaf_net [--cfg_file FILE] [flags] [--misc KEY VALUE ...]"""
import sys

from utils.errors import run_main


def main():
    from core.config.training_options import parse_training_options
    from core.training.launch import join_processes, relaunch_if_distributed
    cfg, launch = parse_training_options()
    relaunch_if_distributed(launch, __file__, sys.argv[1:], cfg.DEVICE)
    join_processes(cfg.DEVICE)
    from core.training.trainer import Trainer
    Trainer(cfg).fit()
    return 0


if __name__ == '__main__':
    run_main(main)
