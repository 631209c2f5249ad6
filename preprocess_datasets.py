"""Make annotation files of every dataset that is on disk: python preprocess_datasets.py --train_files --eval_files"""
import argparse

from utils.errors import run_main


def main():
    parser = argparse.ArgumentParser(description='Datasets as published to annotation files. Datasets lie in '
                                     'DATA_DIR/datasets/NAME, or where PATHS.IMAGE_DIRS says.')
    parser.add_argument('--train_files', action='store_true', help='files that training needs')
    parser.add_argument('--eval_files', action='store_true', help='files that evaluation needs')
    parser.add_argument('--only', nargs='+', metavar='NAME', help='these jobs alone; their names are in the summary')
    parser.add_argument('--openpose', default='', help='folder with lsp/, hrlspet/, mpii/, coco/, mpi_inf_3dhp/, h36m/')
    parser.add_argument('--mosh', default='', help="folder of Human3.6M's MoSh bodies")
    parser.add_argument('--fits', default='', help="SPIN's mpi_inf_3dhp_train.npz, whose multi-view fits are kept")
    parser.add_argument('--no_extract', action='store_true', help='the pictures are cut out of the videos already')
    parser.add_argument('--overwrite', action='store_true', help='make files again that exist')
    parser.add_argument('--misc', nargs='*', default=[], metavar='KEY VALUE', help='config keys, as PATHS.DATA_DIR')
    args = parser.parse_args()
    from core.config import load_config
    from datasets.preprocess.jobs import run_jobs
    return run_jobs(load_config(None, args.misc), args)


if __name__ == '__main__':
    run_main(main)
