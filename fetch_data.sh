#!/usr/bin/env bash
# Fetches files that need no login, and lists the files to fetch by hand.
#
#   ./fetch_data.sh            fetch missing files; interrupted downloads continue
#   ./fetch_data.sh --check    list present and missing files, and the commands that are ready or blocked
#   ./fetch_data.sh --only spin_data densepose_uv
#
# Each item has one or more addresses, which are tried in turn. Items that cannot be fetched are listed at the end; the
# others are still fetched. DATA_DIR (default: data) is the asset folder. FETCH_MIRROR, if set, names folders (file://
# or http://) that hold all files under their own names, and no other address is used. FETCH_TIMEOUT (default: 30) is
# the time in seconds after which a silent host is given up.
set -uo pipefail

data=${DATA_DIR:-data}
parts=$data/.fetch
patience=${FETCH_TIMEOUT:-30}

# name | kind | folder or file below DATA_DIR | files that it provides | addresses
# kind: file, or tar (unpacked into the folder, without a single top folder). "a,b": one of them is enough.
# Addresses on GitHub name a commit, so that the bytes cannot change.
spin=http://visiondata.cis.upenn.edu/spin
graphcmr=https://github.com/nkolot/GraphCMR/raw/b0ee54f1d38f06991558228ed19472a259c06143/data
cliff=https://github.com/haofanwang/CLIFF/raw/f38cad87cb9df34bf377129f9e5ebaaae54af51a/data
danet=https://github.com/HongwenZhang/DaNet-DensePose2SMPL/raw/5435a130f86433850d14ae5e29bf59dba45e614a/data
mmhuman3d=https://openmmlab-share.oss-cn-hangzhou.aliyuncs.com/mmhuman3d
eft=https://dl.fbaipublicfiles.com/eft/eft_fit_ver01
mediapipe=https://storage.googleapis.com/mediapipe-assets
# GraphCMR's J_regressor_extra.npy is a different file: 14 joints, of which the last nine are SPIN's.
items="
J_regressor_extra|file|J_regressor_extra.npy|J_regressor_extra.npy|$cliff/J_regressor_extra.npy $mmhuman3d/models/J_regressor_extra.npy
J_regressor_h36m|file|J_regressor_h36m.npy|J_regressor_h36m.npy|$graphcmr/J_regressor_h36m.npy $cliff/J_regressor_h36m.npy $mmhuman3d/models/J_regressor_h36m.npy
smpl_mean_params|file|smpl_mean_params.npz|smpl_mean_params.npz|$cliff/smpl_mean_params.npz $mmhuman3d/models/smpl_mean_params.npz
gmm_08|file|gmm_08.pkl|gmm_08.pkl|$cliff/gmm_08.pkl $mmhuman3d/models/gmm_08.pkl
cube_parts|file|cube_parts.npy|cube_parts.npy|$graphcmr/cube_parts.npy
vertex_texture|file|vertex_texture.npy|vertex_texture.npy|$graphcmr/vertex_texture.npy
mesh_downsampling|file|mesh_downsampling.npz|mesh_downsampling.npz|$graphcmr/mesh_downsampling.npz
mpii_list|file|train.h5|train.h5|$graphcmr/train.h5
spin_data|tar|.|J_regressor_extra.npy J_regressor_h36m.npy smpl_mean_params.npz gmm_08.pkl cube_parts.npy vertex_texture.npy train.h5|$spin/data.tar.gz
static_fits|tar|static_fits|static_fits/coco_fits.npy static_fits/lsp-orig_fits.npy,static_fits/lsp_fits.npy static_fits/lspet_fits.npy static_fits/mpii_fits.npy static_fits/mpi-inf-3dhp_fits.npy,static_fits/mpi_inf_3dhp_fits.npy static_fits/mpi-inf-3dhp_mview_fits.npz|$spin/static_fits.tar.gz
fits_coco|file|static_fits/coco_fits.npy|static_fits/coco_fits.npy|$mmhuman3d/models/spin/static_fits/coco_fits.npy
fits_lsp|file|static_fits/lsp-orig_fits.npy|static_fits/lsp-orig_fits.npy,static_fits/lsp_fits.npy|$mmhuman3d/models/spin/static_fits/lsp_fits.npy
fits_lspet|file|static_fits/lspet_fits.npy|static_fits/lspet_fits.npy|$mmhuman3d/models/spin/static_fits/lspet_fits.npy
fits_mpii|file|static_fits/mpii_fits.npy|static_fits/mpii_fits.npy|$mmhuman3d/models/spin/static_fits/mpii_fits.npy
fits_mpi_inf_3dhp|file|static_fits/mpi-inf-3dhp_fits.npy|static_fits/mpi-inf-3dhp_fits.npy,static_fits/mpi_inf_3dhp_fits.npy|$mmhuman3d/models/spin/static_fits/mpi_inf_3dhp_fits.npy
fits_h36m|file|static_fits/h36m_fits.npy|static_fits/h36m_fits.npy|$mmhuman3d/models/spin/static_fits/h36m_fits.npy
dataset_extras|tar|dataset_extras|dataset_extras/coco_2014_train.npz,preprocessed_datasets/spin_coco_2014_train.npz dataset_extras/lsp_dataset_original_train.npz,preprocessed_datasets/spin_lsp_train.npz dataset_extras/hr-lspet_train.npz,preprocessed_datasets/spin_lspet_train.npz dataset_extras/mpii_train.npz,preprocessed_datasets/spin_mpii_train.npz dataset_extras/mpi_inf_3dhp_train.npz,preprocessed_datasets/spin_mpi_inf_3dhp_train.npz dataset_extras/3dpw_test.npz,preprocessed_datasets/spin_pw3d_test.npz dataset_extras/lsp_dataset_test.npz dataset_extras/mpi_inf_3dhp_valid.npz,dataset_extras/mpi_inf_3dhp_test.npz|$spin/dataset_extras.tar.gz
spin_coco|file|preprocessed_datasets/spin_coco_2014_train.npz|dataset_extras/coco_2014_train.npz,preprocessed_datasets/spin_coco_2014_train.npz|$mmhuman3d/datasets/spin_coco_2014_train.npz
spin_lsp|file|preprocessed_datasets/spin_lsp_train.npz|dataset_extras/lsp_dataset_original_train.npz,preprocessed_datasets/spin_lsp_train.npz|$mmhuman3d/datasets/spin_lsp_train.npz
spin_lspet|file|preprocessed_datasets/spin_lspet_train.npz|dataset_extras/hr-lspet_train.npz,preprocessed_datasets/spin_lspet_train.npz|$mmhuman3d/datasets/spin_lspet_train.npz
spin_mpii|file|preprocessed_datasets/spin_mpii_train.npz|dataset_extras/mpii_train.npz,preprocessed_datasets/spin_mpii_train.npz|$mmhuman3d/datasets/spin_mpii_train.npz
spin_mpi_inf_3dhp|file|preprocessed_datasets/spin_mpi_inf_3dhp_train.npz|dataset_extras/mpi_inf_3dhp_train.npz,preprocessed_datasets/spin_mpi_inf_3dhp_train.npz|$mmhuman3d/datasets/spin_mpi_inf_3dhp_train.npz
spin_pw3d|file|preprocessed_datasets/spin_pw3d_test.npz|dataset_extras/3dpw_test.npz,preprocessed_datasets/spin_pw3d_test.npz|$mmhuman3d/datasets/spin_pw3d_test.npz
h36m_train|file|preprocessed_datasets/h36m_train.npz|dataset_extras/h36m_train.npz,dataset_extras/h36m_mosh_train.npz,preprocessed_datasets/h36m_train.npz|$mmhuman3d/datasets/h36m_train.npz
eft_coco_all|file|preprocessed_datasets/eft_coco_all.npz|dataset_extras/coco-full_train_eft.npz,preprocessed_datasets/eft_coco_all.npz|$mmhuman3d/datasets/eft_coco_all.npz
eft_mpii|file|preprocessed_datasets/eft_mpii.npz|dataset_extras/mpii_train_eft.npz,preprocessed_datasets/eft_mpii.npz|$mmhuman3d/datasets/eft_mpii.npz
eft_lspet|file|preprocessed_datasets/eft_lspet.npz|dataset_extras/hr-lspet_train_eft.npz,preprocessed_datasets/eft_lspet.npz|$mmhuman3d/datasets/eft_lspet.npz
eft_fit_coco_all|file|datasets/eft/COCO2014-All-ver01.json|dataset_extras/coco-full_train_eft.npz,preprocessed_datasets/eft_coco_all.npz,datasets/eft/COCO2014-All-ver01.json|$eft/COCO2014-All-ver01.json
eft_fit_coco_part|file|datasets/eft/COCO2014-Part-ver01.json|dataset_extras/coco_2014_train_eft.npz,datasets/eft/COCO2014-Part-ver01.json|$eft/COCO2014-Part-ver01.json
eft_fit_mpii|file|datasets/eft/MPII_ver01.json|dataset_extras/mpii_train_eft.npz,preprocessed_datasets/eft_mpii.npz,datasets/eft/MPII_ver01.json|$eft/MPII_ver01.json
eft_fit_lspet|file|datasets/eft/LSPet_ver01.json|dataset_extras/hr-lspet_train_eft.npz,preprocessed_datasets/eft_lspet.npz,datasets/eft/LSPet_ver01.json|$eft/LSPet_ver01.json
final_fits|tar|final_fits|final_fits/coco.npz|$spin/spin_fits.tar.gz
spin_checkpoint|file|model_checkpoint.pt|model_checkpoint.pt|$spin/model_checkpoint.pt
densepose_uv|tar|UV_data|UV_data/UV_Processed.mat UV_data/UV_symmetry_transforms.mat|https://dl.fbaipublicfiles.com/densepose/densepose_uv_data.tar.gz
resnet50|file|pretrained_model/resnet50-19c8e357.pth|pretrained_model/resnet50-19c8e357.pth|https://download.pytorch.org/models/resnet50-19c8e357.pth
danet_ratio|file|pretrained_model/learned_ratio.pkl|pretrained_model/learned_ratio.pkl|$danet/pretrained_model/learned_ratio.pkl
blazepose_detection|file|keypoints/pose_detection.tflite|keypoints/pose_detection.tflite|$mediapipe/pose_detection.tflite
blazepose_full|file|keypoints/pose_landmark_full.tflite|keypoints/pose_landmark_full.tflite|$mediapipe/pose_landmark_full.tflite
blazepose_heavy|file|keypoints/pose_landmark_heavy.tflite|keypoints/pose_landmark_heavy.tflite|$mediapipe/pose_landmark_heavy.tflite
pascal_occluders|file|occluders/pascal_occluders.npy|occluders/pascal_occluders.npy|$mmhuman3d/models/pare/pascal_occluders.npy
mmhuman3d_hmr|file|pretrained_model/resnet50_hmr_pw3d-04f40f58_20211201.pth|pretrained_model/resnet50_hmr_pw3d-04f40f58_20211201.pth|$mmhuman3d/models/hmr/resnet50_hmr_pw3d-04f40f58_20211201.pth
mmhuman3d_spin|file|pretrained_model/resnet50_spin_pw3d-e1d70119_20220708.pth|pretrained_model/resnet50_spin_pw3d-e1d70119_20220708.pth|$mmhuman3d/models/spin/resnet50_spin_pw3d-e1d70119_20220708.pth
"

# path below DATA_DIR | SHA-256 or its beginning. Files from archives are compared too.
# torchvision's and mmhuman3d's file names contain the beginning.
digests="
J_regressor_extra.npy|cc968ea4f9855571e82f90203280836b01f13ee42a8e1b89d8d580b801242a89
J_regressor_h36m.npy|c655cd7013d7829eb9acbebf0e43f952a3fa0305a53c35880e39192bfb6444a0
smpl_mean_params.npz|6fd6dd687800da946d0a0492383f973b92ec20f166a0b829775882868c35fcdd
gmm_08.pkl|e1374908aae055a2afa01a2cd9a169bc6cfec1ceb7aa590e201a47b383060491
cube_parts.npy|90cfc0c011d70ff0c7388f725037c9d4739cb7db605518f997be5dff8e2aec71
vertex_texture.npy|00a484bc1664eac6b8248fe05d7d7478deec2708463c6836950d1cbdc0f15d86
mesh_downsampling.npz|5683b656d9acd7f1558db832527beb0cc6b3b45388cf41a7979dab52e2c57477
UV_data/UV_Processed.mat|ef109a96e57ddadd67b567ac591ec0bfe728c8a567f29927fc85500eb3cd374b
dataset_extras/lsp_dataset_original_train.npz|a1d0a9ad67d75333196eb2f54fa6cfa620effb9b8cd99acc128084bee8cf1523
dataset_extras/lsp_dataset_test.npz|02d46df7594ac8a08a56e2b87ef2050878c1fc5ea27f202218412973a5243b44
static_fits/lsp-orig_fits.npy|498f97ffe0f32dd4959e7928bee9b4b03ca636910fed11fa8d4dffc60b8e0081
pretrained_model/learned_ratio.pkl|9a40aec4e7ee6318af34bad779b263bc00746ccf4ebf985652888c789646a211
keypoints/pose_detection.tflite|9ba9dd3d42efaaba86b4ff0122b06f29c4122e756b329d89dca1e297fd8f866c
keypoints/pose_landmark_full.tflite|e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f
keypoints/pose_landmark_heavy.tflite|59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe
pretrained_model/resnet50-19c8e357.pth|19c8e357
pretrained_model/resnet50_hmr_pw3d-04f40f58_20211201.pth|04f40f58
pretrained_model/resnet50_spin_pw3d-e1d70119_20220708.pth|e1d70119
"

# static fits | annotation file whose rows they belong to, in its order | number of rows, if known
# mmhuman3d's copies are lsp_fits.npy and mpi_inf_3dhp_fits.npy. Its annotation files are spin_*.npz.
fits="
coco_fits.npy|coco_2014_train.npz|28344
lsp-orig_fits.npy|lsp_dataset_original_train.npz|1000
lsp_fits.npy|lsp_dataset_original_train.npz|1000
lspet_fits.npy|hr-lspet_train.npz|
mpii_fits.npy|mpii_train.npz|
mpi-inf-3dhp_fits.npy|mpi_inf_3dhp_train.npz|96507
mpi_inf_3dhp_fits.npy|mpi_inf_3dhp_train.npz|96507
h36m_fits.npy|h36m_train.npz|
"

# path below DATA_DIR ("a,b": one of them is enough) | source
by_hand="
smpl/SMPL_NEUTRAL.pkl|https://smplify.is.tue.mpg.de (registration; basicModel_neutral_lbs_10_207_0_v1.0.0.pkl in the code)
smpl/SMPL_MALE.pkl|https://smpl.is.tue.mpg.de (registration; basicmodel_m_lbs_10_207_0_v1.0.0.pkl)
smpl/SMPL_FEMALE.pkl|https://smpl.is.tue.mpg.de (registration; basicModel_f_lbs_10_207_0_v1.0.0.pkl)
pretrained_model/PyMAF_model_checkpoint.pt|https://drive.google.com/drive/folders/1R4_Vi4TpCQ26-6_b2PhjTBg-nBxZKjz6
dataset_extras/coco_2014_val.npz|https://drive.google.com/drive/folders/1R4_Vi4TpCQ26-6_b2PhjTBg-nBxZKjz6
dataset_extras/coco_2014_train_eft.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5, or python preprocess_datasets.py --only coco_2014_train_eft
dataset_extras/coco-full_train_eft.npz,preprocessed_datasets/eft_coco_all.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5, or python preprocess_datasets.py --only coco-full_train_eft
dataset_extras/mpii_train_eft.npz,preprocessed_datasets/eft_mpii.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5, or python preprocess_datasets.py --only mpii_train_eft
dataset_extras/hr-lspet_train_eft.npz,preprocessed_datasets/eft_lspet.npz|https://cloud.tsinghua.edu.cn/d/635c717375664cd6b3f5, or python preprocess_datasets.py --only hr-lspet_train_eft
pretrained_model/danet_model_h36m_itw.pt|https://drive.google.com/drive/folders/1vP3HxsMHdB3_2lthLDq1RTsVeBnOJlpC
dataset_extras/dp_coco_2014_train.npz|https://drive.google.com/drive/folders/1vP3HxsMHdB3_2lthLDq1RTsVeBnOJlpC, or python -m datasets.preprocess.dp_coco
pretrained_model/pose_hrnet_w48_256x192.pth|HRNet's model zoo (https://github.com/leoxiaobin/deep-high-resolution-net.pytorch)
pretrained_model/pose_resnet_50_256x192.pth.tar|Simple Baselines' model zoo (https://github.com/microsoft/human-pose-estimation.pytorch)
dataset_extras/h36m_valid_protocol2.npz|python preprocess_datasets.py --eval_files, from http://vision.imar.ro/human3.6m (registration)
datasets/h36m|http://vision.imar.ro/human3.6m (registration)
datasets/3dpw,datasets/pw3d|https://virtualhumans.mpi-inf.mpg.de/3DPW (licence)
datasets/mpi-inf-3dhp,datasets/mpi_inf_3dhp|https://vcai.mpi-inf.mpg.de/3dhp-dataset
datasets/lsp|http://sam.johnson.io/research/lsp_dataset.zip
datasets/lsp-orig|http://sam.johnson.io/research/lsp_dataset_original.zip
datasets/lspet|http://datasets.d2.mpi-inf.mpg.de/hr-lspet/hr-lspet.zip
datasets/upi-s1h|http://files.is.tuebingen.mpg.de/classner/up/datasets/upi-s1h.zip
datasets/mpii|https://datasets.d2.mpi-inf.mpg.de/andriluka14cvpr/mpii_human_pose_v1.tar.gz
datasets/coco|http://images.cocodataset.org/zips/{train2014,val2014}.zip, .../annotations/annotations_trainval2014.zip
datasets/3doh50k|https://www.yangangwang.com/papers/ZHANG-OOH-2020-03.html
datasets/bedlam|https://bedlam.is.tue.mpg.de (registration)
datasets/emdb|https://emdb.ait.ethz.ch (form)
dataset_extras/rich_test.npz|https://bedlam.is.tue.mpg.de (registration), eval_data_parsed.zip
body_models/smplx/SMPLX_MALE.npz|https://smpl-x.is.tue.mpg.de (registration)
body_models/smplx/SMPLX_FEMALE.npz|https://smpl-x.is.tue.mpg.de (registration)
smplx2smpl.pkl|https://bedlam.is.tue.mpg.de (registration), in its data/utils
datasets/rich|https://rich.is.tue.mpg.de (registration)
"

# split and dataset | its annotation files, one of which is enough, in dataset_extras/ or preprocessed_datasets/ | its
# pictures, and mmhuman3d's name of that folder, used for files in preprocessed_datasets/
sets="
train h36m|h36m_mosh_train.npz h36m_train.npz spin_h36m_train.npz|datasets/h36m
train lsp-orig|lsp_dataset_original_train.npz spin_lsp_train.npz lsp_train.npz|datasets/lsp-orig datasets/lsp
train lspet|hr-lspet_train.npz spin_lspet_train.npz lspet_train.npz|datasets/lspet
train mpii|mpii_train.npz spin_mpii_train.npz|datasets/mpii
train coco|coco_2014_train.npz spin_coco_2014_train.npz|datasets/coco
train lspet-eft|hr-lspet_train_eft.npz eft_lspet.npz|datasets/lspet
train mpii-eft|mpii_train_eft.npz eft_mpii.npz|datasets/mpii
train coco-full|coco-full_train_eft.npz eft_coco_all.npz|datasets/coco
train dp_coco|dp_coco_2014_train.npz|datasets/coco
train mpi-inf-3dhp|mpi_inf_3dhp_train.npz spin_mpi_inf_3dhp_train.npz|datasets/mpi-inf-3dhp datasets/mpi_inf_3dhp
train mpi-inf-3dhp-s8|mpi_inf_3dhp_train.npz mpi_inf_3dhp_train_s1-7.npz spin_mpi_inf_3dhp_train.npz|datasets/mpi-inf-3dhp datasets/mpi_inf_3dhp
eval h36m-p1|h36m_valid_protocol1.npz h36m_valid_protocol1_newpath.npz|datasets/h36m
eval h36m-p2|h36m_valid_protocol2.npz h36m_valid_protocol2_newpath.npz|datasets/h36m
train bedlam|bedlam_train.npz|datasets/bedlam
eval emdb1|emdb1_test.npz|datasets/emdb
eval rich|rich_test.npz|datasets/rich
eval emdb2|emdb2_test.npz|datasets/emdb
eval 3dpw|3dpw_test.npz spin_pw3d_test.npz pw3d_test.npz|datasets/3dpw datasets/pw3d
eval mpi-inf-3dhp|mpi_inf_3dhp_test.npz mpi_inf_3dhp_valid.npz|datasets/mpi-inf-3dhp datasets/mpi_inf_3dhp
eval mpi-inf-3dhp-s8|mpi_inf_3dhp_train.npz mpi_inf_3dhp_test_s8.npz spin_mpi_inf_3dhp_train.npz|datasets/mpi-inf-3dhp datasets/mpi_inf_3dhp
eval lsp|lsp_dataset_test.npz|datasets/lsp
eval 3doh50k|threeDOH50K_testset.npz|datasets/3doh50k
"

# command | files that it needs | training sets, one of which is enough | evaluation set
# A mixture trains on those of its sets that are present. Training validates on the evaluation set after every epoch.
mesh='smpl/SMPL_NEUTRAL.pkl J_regressor_extra.npy J_regressor_h36m.npy'
both='smpl/SMPL_MALE.pkl smpl/SMPL_FEMALE.pkl'
hmr="$mesh smpl_mean_params.npz"
resnet=pretrained_model/resnet50-19c8e357.pth,pretrained_model/resnet50-0676ba61.pth
commands="
train.py --regressor hmr|$hmr $both $resnet|h36m lsp-orig mpii lspet coco mpi-inf-3dhp|3dpw
train.py --regressor hmr --run_smplify|$hmr $both $resnet gmm_08.pkl|h36m lsp-orig mpii lspet coco mpi-inf-3dhp|3dpw
train.py --regressor pymaf_net|$hmr $both mesh_downsampling.npz UV_data/UV_Processed.mat $resnet|h36m lsp-orig mpii-eft lspet-eft coco-full mpi-inf-3dhp|3dpw
train.py --regressor danet|$mesh $both UV_data/UV_Processed.mat UV_data/UV_symmetry_transforms.mat pretrained_model/learned_ratio.pkl pretrained_model/pose_hrnet_w48_256x192.pth|h36m dp_coco|3dpw
train.py --regressor multi_spin|$hmr $resnet gmm_08.pkl|mpi-inf-3dhp-s8|mpi-inf-3dhp-s8
eval.py --dataset 3dpw|$mesh $both||3dpw
eval.py --dataset emdb1|$mesh $both||emdb1
eval.py --dataset emdb2|$mesh $both||emdb2
eval.py --dataset rich|$mesh body_models/smplx/SMPLX_MALE.npz body_models/smplx/SMPLX_FEMALE.npz smplx2smpl.pkl||rich
eval.py --dataset h36m-p1|$mesh||h36m-p1
eval.py --dataset h36m-p2|$mesh||h36m-p2
eval.py --dataset mpi-inf-3dhp|$mesh||mpi-inf-3dhp
eval.py --dataset mpi-inf-3dhp-s8|$mesh||mpi-inf-3dhp-s8
eval.py --dataset lsp|$mesh cube_parts.npy vertex_texture.npy datasets/upi-s1h||lsp
eval.py --dataset 3doh50k|$mesh||3doh50k
eval_coco.py|$mesh datasets/coco||
the above with SPIN's weights|$hmr model_checkpoint.pt||
the above with PyMAF's weights|$hmr mesh_downsampling.npz pretrained_model/PyMAF_model_checkpoint.pt||
preprocess_datasets.py --only mpii_train|train.h5 datasets/mpii||
"

say() { printf '%s\n' "$*"; }

# Whether a body such as SMPL_NEUTRAL.pkl exists under the name of its download (utils/assets.py).
downloaded_body() {
  local who folder
  case $1 in
    *NEUTRAL*) who='n|neutral' ;;
    *FEMALE*) who='f|female' ;;
    *) who='m|male' ;;
  esac
  for folder in . smpl smpl/models models models/smpl body_models body_models/smpl SMPL_python_v.1.0.0/smpl/models \
      SMPL_python_v.1.1.0/smpl/models smplify_public/code/models; do
    if ls "$data/$folder" 2>/dev/null | grep -qiE "^(basicmodel|smpl)_($who)_lbs_10_207_0_v[0-9.]+\.(pkl|npz)\$"; then
      return
    fi
  done
  return 1
}

# Whether one path exists, or is in the place of SPIN's flat folder (SMPL_*.pkl) or mmhuman3d's (body_models/). A folder
# exists if it is not empty.
there() {
  local path=$1 name=${1#smpl/} place
  local places=("$path" "body_models/$path" "body_models/smpl/$path")
  [[ $path = smpl/* ]] && places=("$path" "$name" "body_models/smpl/$name" "body_models/$name")
  for place in "${places[@]}"; do
    if [[ -d "$data/$place" ]]; then
      [[ -n "$(ls -A "$data/$place")" ]] && return
    elif [[ -e "$data/$place" || ( $path = smpl/* && -e "$data/${place%.pkl}.npz" ) ]]; then
      return
    fi
  done
  [[ $path = smpl/SMPL_* ]] && downloaded_body "$name" && return
  return 1
}

present() { # path, or "a,b": one of them
  local path
  for path in ${1//,/ }; do there "$path" && return; done
  return 1
}

missing_of() { # paths -> those that do not exist, the first of alternatives
  local path out=
  for path in $1; do present "$path" || out="$out ${path%%,*}"; done
  printf '%s' "${out# }"
}

all_present() { [[ -z "$(missing_of "$1")" ]]; }

sha256() {
  if command -v sha256sum > /dev/null; then sha256sum "$1"
  elif command -v shasum > /dev/null; then shasum -a 256 "$1"
  else openssl dgst -sha256 -r "$1"; fi | cut -c 1-64
}

# Whether file $1 has the known digest of path $2 below DATA_DIR. True if none is known. Sets $digest.
checked() {
  local path known
  digest=
  while IFS='|' read -r path known; do [[ "$path" = "$2" ]] && digest=$known; done <<< "$digests"
  [[ -z "$digest" ]] && return
  known=$(sha256 "$1")
  [[ "${known:0:${#digest}}" = "$digest" ]]
}

# Whether the format of file $1 fits path $2: a dead host often answers with a web page.
plausible() {
  local start end
  start=$(LC_ALL=C head -c 6 "$1" | LC_ALL=C tr -d '\0')
  case $2 in
    *.npy) [[ "$start" = $'\x93NUMPY' ]] ;;
    *.npz) end=$(LC_ALL=C tail -c 22 "$1" | head -c 4); [[ "$start" = PK* && "$end" = $'PK\x05\x06' ]] ;;
    *) [[ -s "$1" && "$start" != '<'* ]] ;;
  esac
}

dead_hosts=
host_of() { local rest=${1#*://}; printf '%s' "${rest%%/*}"; }

# Download $1 to $2, and continue an earlier try. Sets $why on failure.
download() {
  local url=$1 to=$2 host status
  local options=(-fL --retry 2 --connect-timeout "$patience" --speed-limit 1 --speed-time "$patience")
  host=$(host_of "$url")
  if [[ -n "$host" && " $dead_hosts " = *" $host "* ]]; then why="$host did not answer before"; return 1; fi
  curl "${options[@]}" -C - -o "$to" "$url"
  status=$?
  # 33, 36, 22 after a partial file: the server cannot continue it, or the file is complete already.
  if [[ $status -eq 33 || $status -eq 36 || $status -eq 22 ]] && [[ -s "$to" ]]; then
    rm -f "$to"
    curl "${options[@]}" -o "$to" "$url"
    status=$?
  fi
  case $status in
    0) ;;
    5|6|7|28) dead_hosts="$dead_hosts $host"; why="$host does not answer" ;;
    18) why='broke off; run again to continue' ;;
    22) why='is not there' ;;
    *) why="curl ended with status $status" ;;
  esac
  return $status
}

# Unpack archive $1 into folder $2 below DATA_DIR. Only plain files and folders within it are allowed. tar detects the
# compression: SPIN's data.tar.gz is a plain tar.
unpack() {
  local archive=$1 into=$data/$2 below=$2/ staging=$parts/unpack.$$ root
  # No `grep -q` here: it stops reading at the first match, which would make tar, and so the pipe, fail.
  if ! tar -tf "$archive" > /dev/null 2>&1; then why='is not a readable archive'; return 1; fi
  if tar -tf "$archive" | grep -E '(^/|(^|/)\.\.(/|$))' > /dev/null; then
    why='refused, it names paths outside its folder'; return 1
  fi
  if tar -tvf "$archive" | grep -Ev '^[-d]' > /dev/null; then
    why='refused, it holds links or devices'; return 1
  fi
  why='could not be unpacked'
  rm -rf "$staging" && mkdir -p "$staging" "$into" || return 1
  tar -xf "$archive" -C "$staging" --no-same-owner --no-same-permissions || { rm -rf "$staging"; return 1; }
  root=$staging
  # A single top folder, as in most archives, is removed.
  if [[ $(find "$staging" -mindepth 1 -maxdepth 1 | wc -l) -eq 1 && -d $(echo "$staging"/*) ]]; then
    root=$(echo "$staging"/*)
  fi
  # Existing files are kept, because the user may have put better ones in place.
  (cd "$root" && find . -type f -print0) | while IFS= read -r -d '' file; do
    file=${file#./}
    [[ -e "$into/$file" ]] && continue
    if ! checked "$root/$file" "${below#./}$file"; then
      say "  ${below#./}$file: its SHA-256 is not ${digest:0:8}...; left out"; continue
    fi
    mkdir -p "$(dirname "$into/$file")" && mv "$root/$file" "$into/$file" || exit 1
  done
  local status=$?
  rm -rf "$staging"
  return $status
}

# Download the file at $1 as $2 and move it to its place. Sets $why on failure.
fetch_from() { # address, partial file, kind, target
  local url=$1 part=$2 kind=$3 target=$4
  download "$url" "$part" || return 1
  if [[ $kind = tar ]]; then
    unpack "$part" "$target"
    local status=$?
    rm -f "$part"
    return $status
  fi
  if ! checked "$part" "$target"; then
    why="its SHA-256 is not ${digest:0:8}...; removed"
  elif ! plausible "$part" "$target"; then
    why="is not a complete ${target##*.} file; removed"
  else
    why='could not be put in place'
    mkdir -p "$(dirname "$data/$target")" && mv "$part" "$data/$target"
    return
  fi
  rm -f "$part"
  return 1
}

# The addresses of an item, or FETCH_MIRROR's if it is set.
addresses_of() {
  local url folder out=
  if [[ -z "${FETCH_MIRROR:-}" ]]; then say "$1"; return; fi
  for folder in $FETCH_MIRROR; do
    for url in $1; do [[ " $out " = *" ${folder%/}/${url##*/} "* ]] || out="$out ${folder%/}/${url##*/}"; done
  done
  say "$out"
}

fetch_item() { # name, kind, target, brings, addresses
  local name=$1 kind=$2 target=$3 brings=$4 url number=0 missing
  mkdir -p "$parts" || return 1
  why='has no address'
  for url in $(addresses_of "$5"); do
    number=$((number + 1))
    say "$name: $url"
    # A partial file belongs to one address, because two copies may differ.
    if fetch_from "$url" "$parts/$name.$number.part" "$kind" "$target"; then
      rm -f "$parts/$name".*.part
      missing=$(missing_of "$brings")
      [[ -z "$missing" ]] || say "  came without $missing"
      return 0
    fi
    say "  $why"
  done
  return 1
}

fetch_all() {
  local failed= name kind target brings urls known=
  while IFS='|' read -r name kind target brings urls; do
    [[ -z "$name" ]] && continue
    known="$known $name"
    [[ $# -gt 0 && " $* " != *" $name "* ]] && continue
    if all_present "$brings"; then say "$name: there already"; continue; fi
    fetch_item "$name" "$kind" "$target" "$brings" "$urls" < /dev/null || failed="$failed$name|$why
"
  done <<< "$items"
  for name in "$@"; do
    [[ " $known " = *" $name "* ]] || { say "error: --only knows$known, not $name" >&2; return 2; }
  done
  rmdir "$parts" 2> /dev/null
  say; list_by_hand
  [[ -z "$failed" ]] && return
  say 'Not fetched (run ./fetch_data.sh again to continue):'
  while IFS='|' read -r name why; do [[ -z "$name" ]] || printf '  %-24s %s\n' "$name" "$why"; done <<< "$failed"
  return 1
}

list_by_hand() {
  local path from any=
  while IFS='|' read -r path from; do
    [[ -z "$path" ]] && continue
    present "$path" && continue
    [[ -z "$any" ]] && say 'To be fetched by hand:' && any=1
    printf '  %-48s from %s\n' "$data/${path%%,*}" "$from"
  done <<< "$by_hand"
}

# The missing files of dataset "$1" ("train coco"), or nothing.
set_lacks() {
  local name files folders place file folder found=
  while IFS='|' read -r name files folders; do
    [[ "$name" = "$1" ]] && break
  done <<< "$sets"
  for place in preprocessed_datasets dataset_extras; do
    for file in $files; do [[ -e "$data/$place/$file" ]] && found=$place; done
  done
  [[ -z "$found" ]] && printf ' dataset_extras/%s' "${files%% *}"
  [[ $found = preprocessed_datasets ]] || folders=${folders%% *}
  for folder in $folders; do there "$folder" && return; done
  printf ' %s' "${folders%% *}"
}

check_commands() {
  local command paths mixture validation lacks name on off
  while IFS='|' read -r command paths mixture validation; do
    [[ -z "$command" ]] && continue
    lacks=$(missing_of "$paths") on= off=
    for name in $mixture; do
      if [[ -z "$(set_lacks "train $name")" ]]; then on="$on $name"; else off="$off $name"; fi
    done
    if [[ -n "$mixture" && -z "$on" ]]; then
      lacks="$lacks (annotations and pictures of one of: $mixture)"
    fi
    [[ -n "$validation" ]] && lacks="$lacks$(set_lacks "eval $validation")"
    if [[ -n "$lacks" ]]; then
      printf '  blocked  %s: needs %s\n' "$command" "${lacks# }"
    else
      printf '  ready    %s%s%s\n' "$command" "${on:+ on$on}" "${off:+ (missing:$off)}"
    fi
  done <<< "$commands"
}

# Whether static fits have as many rows as their annotation file.
check_fits() {
  local file owner rows found
  while IFS='|' read -r file owner rows; do
    [[ -n "$file" && -e "$data/static_fits/$file" ]] || continue
    found=$(LC_ALL=C head -c 128 "$data/static_fits/$file" | LC_ALL=C tr -d '\0' |
            LC_ALL=C sed -n "s/.*'shape': (\([0-9]*\),.*/\1/p")
    if [[ -n "$rows" && "$found" != "$rows" ]]; then
      printf '  wrong    static_fits/%s: %s rows, but %s has %s\n' "$file" "${found:-no}" "$owner" "$rows"
    else
      printf '  matched  static_fits/%s: %s rows, of %s\n' "$file" "$found" "$owner"
    fi
  done <<< "$fits"
}

check() {
  local name kind target brings urls path from status=0
  say "Fetched by this script, in $data:"
  while IFS='|' read -r name kind target brings urls; do
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
    if present "$path"; then
      printf '  present  %s\n' "${path%%,*}"
    else
      printf '  missing  %s (%s)\n' "${path%%,*}" "$from"; status=1
    fi
  done <<< "$by_hand"
  [[ -d "$data/static_fits" ]] && say 'Fits and their annotation files:' && check_fits
  say 'Commands (without pictures in the folders of PATHS.IMAGE_DIRS):'
  check_commands
  [[ -e "$data/free/MANIFEST.json" ]] &&
    say "The free body is in $data/free; without SMPL the commands above run on it."
  return $status
}

case "${1:-}" in
  --check) check ;;
  --only) shift; [[ $# -gt 0 ]] || { say 'error: --only needs names; --check lists them' >&2; exit 2; }; fetch_all "$@" ;;
  '') fetch_all ;;
  -h|--help) sed -n '2,11s/^# \{0,1\}//p' "$0" ;;
  *) say "error: unknown option $1; use --check or --only NAME ..." >&2; exit 2 ;;
esac
