#!/usr/bin/env bash
# Fetches what may be fetched without a login, and says what must be fetched by hand.
#
#   ./fetch_data.sh            fetch what is missing; interrupted downloads go on where they stopped
#   ./fetch_data.sh --check    say what is there, what is missing, and which commands that blocks
#   ./fetch_data.sh --only spin_data densepose_uv
#
# DATA_DIR (default: data) is the asset folder. FETCH_MIRROR, where set, is the address of a folder that holds all files
# under their own names; nothing else is asked then.
set -uo pipefail

data=${DATA_DIR:-data}
parts=$data/.fetch

# name | address | SHA-256 or its beginning, where known | folder or file below DATA_DIR | kind | what it brings
# kind: file, or tar (unpacked into the folder; one folder around everything is taken off).
# torchvision's and mmhuman3d's file names hold the beginning of the digest.
spin=http://visiondata.cis.upenn.edu/spin
mmhuman3d=https://openmmlab-share.oss-cn-hangzhou.aliyuncs.com/mmhuman3d/models
danet=https://github.com/HongwenZhang/DaNet-DensePose2SMPL/raw/5435a130f86433850d14ae5e29bf59dba45e614a
items="
spin_data|$spin/data.tar.gz||.|tar|J_regressor_extra.npy J_regressor_h36m.npy smpl_mean_params.npz gmm_08.pkl cube_parts.npy vertex_texture.npy train.h5
static_fits|$spin/static_fits.tar.gz||static_fits|tar|static_fits/coco_fits.npy static_fits/mpi-inf-3dhp_mview_fits.npz
dataset_extras|$spin/dataset_extras.tar.gz||dataset_extras|tar|dataset_extras/3dpw_test.npz dataset_extras/coco_2014_train.npz
final_fits|$spin/spin_fits.tar.gz||final_fits|tar|final_fits/coco.npz
spin_checkpoint|$spin/model_checkpoint.pt||model_checkpoint.pt|file|model_checkpoint.pt
mesh_downsampling|https://github.com/nkolot/GraphCMR/raw/master/data/mesh_downsampling.npz||mesh_downsampling.npz|file|mesh_downsampling.npz
densepose_uv|https://dl.fbaipublicfiles.com/densepose/densepose_uv_data.tar.gz||UV_data|tar|UV_data/UV_Processed.mat UV_data/UV_symmetry_transforms.mat
resnet50|https://download.pytorch.org/models/resnet50-19c8e357.pth|19c8e357|pretrained_model/resnet50-19c8e357.pth|file|pretrained_model/resnet50-19c8e357.pth
danet_ratio|$danet/data/pretrained_model/learned_ratio.pkl|9a40aec4e7ee6318af34bad779b263bc00746ccf4ebf985652888c789646a211|pretrained_model/learned_ratio.pkl|file|pretrained_model/learned_ratio.pkl
mmhuman3d_hmr|$mmhuman3d/hmr/resnet50_hmr_pw3d-04f40f58_20211201.pth|04f40f58|pretrained_model/resnet50_hmr_pw3d-04f40f58_20211201.pth|file|pretrained_model/resnet50_hmr_pw3d-04f40f58_20211201.pth
mmhuman3d_spin|$mmhuman3d/spin/resnet50_spin_pw3d-e1d70119_20220708.pth|e1d70119|pretrained_model/resnet50_spin_pw3d-e1d70119_20220708.pth|file|pretrained_model/resnet50_spin_pw3d-e1d70119_20220708.pth
"

# path below DATA_DIR | from where
by_hand="
smpl/SMPL_NEUTRAL.pkl|https://smplify.is.tue.mpg.de (registration; basicModel_neutral_lbs_10_207_0_v1.0.0.pkl in the code)
smpl/SMPL_MALE.pkl|https://smpl.is.tue.mpg.de (registration; basicmodel_m_lbs_10_207_0_v1.0.0.pkl)
smpl/SMPL_FEMALE.pkl|https://smpl.is.tue.mpg.de (registration; basicModel_f_lbs_10_207_0_v1.0.0.pkl)
pretrained_model/PyMAF_model_checkpoint.pt|https://drive.google.com/drive/folders/1R4_Vi4TpCQ26-6_b2PhjTBg-nBxZKjz6
dataset_extras/coco_2014_val.npz|https://drive.google.com/drive/folders/1R4_Vi4TpCQ26-6_b2PhjTBg-nBxZKjz6
dataset_extras/coco_2014_train_eft.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5
dataset_extras/mpii_train_eft.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5
dataset_extras/hr-lspet_train_eft.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5
pretrained_model/danet_model_h36m_itw.pt|https://drive.google.com/drive/folders/1vP3HxsMHdB3_2lthLDq1RTsVeBnOJlpC
dataset_extras/dp_coco_2014_train.npz|https://drive.google.com/drive/folders/1vP3HxsMHdB3_2lthLDq1RTsVeBnOJlpC, or python -m datasets.preprocess.dp_coco
pretrained_model/pose_resnet_50_256x192.pth.tar|Simple Baselines' model zoo (https://github.com/microsoft/human-pose-estimation.pytorch)
dataset_extras/h36m_valid_protocol2.npz|python preprocess_datasets.py --eval_files, from http://vision.imar.ro/human3.6m (registration)
datasets/h36m|http://vision.imar.ro/human3.6m (registration)
datasets/3dpw|https://virtualhumans.mpi-inf.mpg.de/3DPW (licence)
datasets/mpi-inf-3dhp|https://vcai.mpi-inf.mpg.de/3dhp-dataset
datasets/lsp|http://sam.johnson.io/research/lsp_dataset.zip
datasets/lsp-orig|http://sam.johnson.io/research/lsp_dataset_original.zip
datasets/lspet|http://datasets.d2.mpi-inf.mpg.de/hr-lspet/hr-lspet.zip
datasets/upi-s1h|http://files.is.tuebingen.mpg.de/classner/up/datasets/upi-s1h.zip
datasets/mpii|https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr/mpii_human_pose_v1.tar.gz
datasets/coco|http://images.cocodataset.org/zips/{train2014,val2014}.zip, .../annotations/annotations_trainval2014.zip
datasets/3doh50k|https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html
"

# command | paths below DATA_DIR that it needs
needs="
train.py --regressor hmr|smpl/SMPL_NEUTRAL.pkl J_regressor_extra.npy J_regressor_h36m.npy smpl_mean_params.npz pretrained_model/resnet50-19c8e357.pth
train.py --run_smplify|smpl/SMPL_NEUTRAL.pkl gmm_08.pkl static_fits/coco_fits.npy
train.py --regressor pymaf_net|smpl/SMPL_NEUTRAL.pkl J_regressor_extra.npy smpl_mean_params.npz mesh_downsampling.npz UV_data/UV_Processed.mat pretrained_model/resnet50-19c8e357.pth
train.py --regressor danet|smpl/SMPL_NEUTRAL.pkl J_regressor_extra.npy UV_data/UV_Processed.mat pretrained_model/learned_ratio.pkl dataset_extras/dp_coco_2014_train.npz
training on EFT's labels|dataset_extras/coco_2014_train_eft.npz dataset_extras/mpii_train_eft.npz dataset_extras/hr-lspet_train_eft.npz
eval.py with SPIN's weights|smpl/SMPL_NEUTRAL.pkl J_regressor_h36m.npy smpl_mean_params.npz model_checkpoint.pt
eval.py with PyMAF's weights|smpl/SMPL_NEUTRAL.pkl J_regressor_h36m.npy smpl_mean_params.npz mesh_downsampling.npz pretrained_model/PyMAF_model_checkpoint.pt
eval.py --dataset 3dpw|smpl/SMPL_MALE.pkl smpl/SMPL_FEMALE.pkl J_regressor_h36m.npy dataset_extras/3dpw_test.npz datasets/3dpw
eval.py --dataset h36m-p2|J_regressor_h36m.npy dataset_extras/h36m_valid_protocol2.npz datasets/h36m
eval.py --dataset mpi-inf-3dhp|J_regressor_h36m.npy datasets/mpi-inf-3dhp
eval.py --dataset lsp|cube_parts.npy vertex_texture.npy datasets/lsp datasets/upi-s1h
eval.py --dataset 3doh50k|J_regressor_h36m.npy datasets/3doh50k
eval_coco.py|smpl/SMPL_NEUTRAL.pkl datasets/coco
preprocess_datasets.py (mpii)|train.h5 datasets/mpii
"

say() { printf '%s\n' "$*"; }
# Whether a file is in its place, or where SPIN's flat folder (SMPL_*.pkl) or mmhuman3d's (body_models/) has it.
present() {
  local name=${1#smpl/} place
  local places=("$1" "body_models/$1" "body_models/smpl/$1")
  [[ $1 = smpl/* ]] && places=("$1" "$name" "body_models/smpl/$name" "body_models/$name")
  for place in "${places[@]}"; do
    [[ -e "$data/$place" || ( $1 = smpl/* && -e "$data/${place%.pkl}.npz" ) ]] && return
  done
  return 1
}

all_present() {
  local path
  for path in $1; do present "$path" || return 1; done
}

# Download $1 to $2, going on where an earlier try stopped.
download() {
  local url=$1 to=$2 status
  [[ -n "${FETCH_MIRROR:-}" ]] && url="${FETCH_MIRROR%/}/${url##*/}"
  curl -fL --retry 3 --connect-timeout 20 -C - -o "$to" "$url"
  status=$?
  # 33, 36, 22 after a partial file: the server cannot go on from there, or the file is whole already.
  if [[ $status -eq 33 || $status -eq 36 || $status -eq 22 ]] && [[ -s "$to" ]]; then
    rm -f "$to"
    curl -fL --retry 3 --connect-timeout 20 -o "$to" "$url"
    status=$?
  fi
  return $status
}

checked() { # file, digest or its beginning
  [[ -z "$2" || "$(sha256sum "$1" | cut -c "1-${#2}")" = "$2" ]]
}

# Unpack archive $1 below folder $2. Only plain files and folders within it are let through.
unpack() {
  local archive=$1 into=$2 staging=$parts/unpack.$$ root
  # No `grep -q` here: it stops reading at the first match, which would make tar, and so the pipe, fail.
  if ! tar -tzf "$archive" > /dev/null 2>&1; then say "  $archive: not a readable archive"; return 1; fi
  if tar -tzf "$archive" | grep -E '(^/|(^|/)\.\.(/|$))' > /dev/null; then
    say "  $archive: refused, it names paths outside its folder"; return 1
  fi
  if tar -tvzf "$archive" | grep -Ev '^[-d]' > /dev/null; then
    say "  $archive: refused, it holds links or devices"; return 1
  fi
  rm -rf "$staging" && mkdir -p "$staging" "$into" || return 1
  tar -xzf "$archive" -C "$staging" --no-same-owner --no-same-permissions || { rm -rf "$staging"; return 1; }
  root=$staging
  # One folder around everything, as most archives have, is taken off.
  if [[ $(find "$staging" -mindepth 1 -maxdepth 1 | wc -l) -eq 1 && -d $(echo "$staging"/*) ]]; then
    root=$(echo "$staging"/*)
  fi
  # Files that are there stay as they are: the user may have put better ones in place.
  (cd "$root" && find . -type f -print0) | while IFS= read -r -d '' file; do
    [[ -e "$into/$file" ]] || { mkdir -p "$into/$(dirname "$file")" && mv "$root/$file" "$into/$file"; } || exit 1
  done
  local status=$?
  rm -rf "$staging"
  return $status
}

fetch_item() { # name, address, digest, target, kind, brings
  local name=$1 url=$2 digest=$3 target=$4 kind=$5 brings=$6 part=$parts/${2##*/}
  say "$name: $url"
  mkdir -p "$parts" || return 1
  if ! download "$url" "$part.part"; then say "  not fetched; run again to go on"; return 1; fi
  if ! checked "$part.part" "$digest"; then
    say "  its SHA-256 is not ${digest}...; thrown away"; rm -f "$part.part"; return 1
  fi
  if [[ $kind = tar ]]; then
    unpack "$part.part" "$data/$target" || return 1
    rm -f "$part.part"
  else
    mkdir -p "$(dirname "$data/$target")" && mv "$part.part" "$data/$target" || return 1
  fi
  all_present "$brings" || say "  came without $(missing_of "$brings")"
}

missing_of() {
  local path out=
  for path in $1; do present "$path" || out="$out $path"; done
  echo "${out# }"
}

fetch_all() {
  local failed=0 name url digest target kind brings known=
  while IFS='|' read -r name url digest target kind brings; do
    [[ -z "$name" ]] && continue
    known="$known $name"
    [[ $# -gt 0 && " $* " != *" $name "* ]] && continue
    if all_present "$brings"; then say "$name: there already"; continue; fi
    fetch_item "$name" "$url" "$digest" "$target" "$kind" "$brings" < /dev/null || failed=$((failed + 1))
  done <<< "$items"
  for name in "$@"; do
    [[ " $known " = *" $name "* ]] || { say "error: --only knows$known, not $name" >&2; return 2; }
  done
  rmdir "$parts" 2> /dev/null
  say; list_by_hand
  [[ $failed -eq 0 ]] || say "$failed not fetched; ./fetch_data.sh goes on"
  return $((failed > 0))
}

list_by_hand() {
  local path from any=
  while IFS='|' read -r path from; do
    [[ -z "$path" ]] && continue
    present "$path" && continue
    [[ -z "$any" ]] && say 'To be fetched by hand:' && any=1
    printf '  %-48s from %s\n' "$data/$path" "$from"
  done <<< "$by_hand"
}

check() {
  local name url digest target kind brings path from command paths status=0
  say "Fetched by this script, in $data:"
  while IFS='|' read -r name url digest target kind brings; do
    [[ -z "$name" ]] && continue
    if all_present "$brings"; then
      printf '  present  %s\n' "$name"
    else
      printf '  missing  %s: %s\n' "$name" "$(missing_of "$brings")"; status=1
    fi
  done <<< "$items"
  say 'Fetched by hand:'
  while IFS='|' read -r path from; do
    [[ -z "$path" ]] && continue
    if present "$path"; then printf '  present  %s\n' "$path"; else printf '  missing  %s (%s)\n' "$path" "$from"; status=1; fi
  done <<< "$by_hand"
  say 'Commands:'
  while IFS='|' read -r command paths; do
    [[ -z "$command" ]] && continue
    if all_present "$paths"; then
      printf '  ready    %s\n' "$command"
    else
      printf '  blocked  %s: needs %s\n' "$command" "$(missing_of "$paths")"
    fi
  done <<< "$needs"
  [[ -e "$data/free/MANIFEST.json" ]] && say "The free body is in $data/free; without SMPL the commands above run on it."
  return $status
}

case "${1:-}" in
  --check) check ;;
  --only) shift; [[ $# -gt 0 ]] || { say 'error: --only needs names; --check lists them' >&2; exit 2; }; fetch_all "$@" ;;
  '') fetch_all ;;
  -h|--help) sed -n '2,10s/^# \{0,1\}//p' "$0" ;;
  *) say "error: unknown option $1; use --check or --only NAME ..." >&2; exit 2 ;;
esac
