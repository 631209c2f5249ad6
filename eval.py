"""Evaluate a checkpoint: python eval.py --checkpoint FILE --dataset NAME [flags] [--misc KEY VALUE ...]"""
from utils.errors import run_main


def main():
    from core.evaluation.options import parse_pose_options
    from core.evaluation.run import run_evaluation
    from core.training.launch import join_processes
    cfg, checkpoint = parse_pose_options()
    join_processes(cfg.DEVICE)
    run_evaluation(cfg, checkpoint)
    return 0


if __name__ == '__main__':
    run_main(main)
